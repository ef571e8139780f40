// gitops-health judges objects as the GitOps tools do, with their own code: Argo CD by a health script, Flux by kstatus.
//
// It reads {"key": "GROUP/KIND", "script": "...", "objects": [...]} from its input, and writes one judgement for each
// object, in order.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	application "github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/gitops-engine/pkg/health"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type question struct {
	Key     string           `json:"key"`
	Script  string           `json:"script"`
	Objects []map[string]any `json:"objects"`
}

type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

type judgement struct {
	ArgoCD verdict `json:"argocd"`
	Flux   verdict `json:"flux"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return err
	}
	overrides := lua.ResourceHealthOverrides{}
	if asked.Script != "" {
		overrides[asked.Key] = application.ResourceOverride{HealthLua: asked.Script}
	}
	judged := []judgement{}
	for _, object := range asked.Objects {
		one, err := judge(&unstructured.Unstructured{Object: object}, overrides)
		if err != nil {
			return err
		}
		judged = append(judged, one)
	}
	return json.NewEncoder(os.Stdout).Encode(judged)
}

func judge(object *unstructured.Unstructured, overrides lua.ResourceHealthOverrides) (judgement, error) {
	byArgo, err := health.GetResourceHealth(object, overrides)
	if err != nil {
		return judgement{}, err
	}
	byFlux, err := status.Compute(object)
	if err != nil {
		return judgement{}, err
	}
	judged := judgement{Flux: verdict{byFlux.Status.String(), byFlux.Message}}
	if byArgo != nil { // it has no opinion on a kind without a check
		judged.ArgoCD = verdict{string(byArgo.Status), byArgo.Message}
	}
	return judged, nil
}
