// The provisioner of the default StorageClass: a volume is a folder of the machine.
//
// Rancher's program of this name starts a pod for each folder that it makes or removes. Every model has a volume, so
// those pods were two of five that ran in the end-to-end tests.
package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v10/controller"
)

type folders struct{ root string }

func (f folders) Provision(_ context.Context, asked controller.ProvisionOptions) (*v1.PersistentVolume, controller.ProvisioningState, error) {
	if asked.SelectedNode == nil {
		return nil, controller.ProvisioningFinished, errors.New("no node is chosen: volumeBindingMode must be WaitForFirstConsumer")
	}
	path := filepath.Join(f.root, asked.PVName)
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	// A pod that is not root must be able to write, whatever the umask.
	if err := os.Chmod(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	kind := v1.HostPathDirectory
	here := v1.NodeSelectorRequirement{
		Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: []string{asked.SelectedNode.Labels[v1.LabelHostname]},
	}
	return &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: asked.PVName},
		Spec: v1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *asked.StorageClass.ReclaimPolicy,
			AccessModes:                   asked.PVC.Spec.AccessModes,
			VolumeMode:                    asked.PVC.Spec.VolumeMode,
			Capacity:                      v1.ResourceList{v1.ResourceStorage: asked.PVC.Spec.Resources.Requests[v1.ResourceStorage]},
			PersistentVolumeSource:        v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: path, Type: &kind}},
			NodeAffinity: &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{
				NodeSelectorTerms: []v1.NodeSelectorTerm{{MatchExpressions: []v1.NodeSelectorRequirement{here}}},
			}},
		},
	}, controller.ProvisioningFinished, nil
}

func (f folders) Delete(_ context.Context, volume *v1.PersistentVolume) error {
	// Only what was made here: the path of a volume is what somebody may write into it.
	return os.RemoveAll(filepath.Join(f.root, filepath.Base(volume.Spec.HostPath.Path)))
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "file of the cluster's administrator")
	name := flag.String("provisioner", "", "as StorageClasses say it")
	root := flag.String("root", "", "folder of the volumes")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		klog.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	client := kubernetes.NewForConfigOrDie(config)
	controller.NewProvisionController(
		klog.FromContext(ctx), client, *name, folders{root: *root}, controller.LeaderElection(false),
	).Run(ctx)
}
