"""The edge to the apiserver and to pods: one port, its implementation, leader election."""
