"""The API as Kubernetes sees it: the CRD made from the contract's models, and the models of the status."""
