// gitops-health judges objects with the code of GitOps tools: by a health check for Argo CD in the Lua interpreter that
// Argo CD has, with the few libraries that it opens, and by kstatus, which Flux and Helm have.
//
// It reads {"script": "...", "objects": [...]} from its input, and writes one judgement for each object, in order.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	luajson "layeh.com/gopher-json"
)

type question struct {
	Script  string            `json:"script"`
	Objects []json.RawMessage `json:"objects"`
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
	judged := []judgement{}
	for _, object := range asked.Objects {
		byCheck, err := check(asked.Script, object)
		if err != nil {
			return err
		}
		byRules, err := rules(object)
		if err != nil {
			return err
		}
		judged = append(judged, judgement{ArgoCD: byCheck, Flux: byRules})
	}
	return json.NewEncoder(os.Stdout).Encode(judged)
}

func check(script string, object []byte) (verdict, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			return verdict{}, err
		}
	}
	patience, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(patience)
	value, err := luajson.Decode(state, object)
	if err != nil {
		return verdict{}, err
	}
	state.SetGlobal("obj", value)
	if err := state.DoString(script); err != nil {
		return verdict{}, err
	}
	said, err := luajson.Encode(state.Get(-1))
	if err != nil {
		return verdict{}, err
	}
	var judged verdict
	return judged, json.Unmarshal(said, &judged)
}

func rules(object []byte) (verdict, error) {
	var read unstructured.Unstructured
	if err := read.UnmarshalJSON(object); err != nil {
		return verdict{}, err
	}
	result, err := status.Compute(&read)
	if err != nil {
		return verdict{}, err
	}
	return verdict{result.Status.String(), result.Message}, nil
}
