// Command restricted reads Kubernetes manifests as the API server does: every field must be known to the API, and every
// pod must meet the Pod Security Standard Restricted. It prints one line for each problem.
package main

import (
	"bytes"
	"fmt"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

func main() {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme, policyv1.AddToScheme} {
		must(add(scheme))
	}
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true})
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	must(err)
	problems := 0
	for _, file := range os.Args[1:] {
		text, err := os.ReadFile(file)
		must(err)
		for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
			object, _, err := strict.Decode(document, nil, nil)
			if err != nil {
				fmt.Printf("%s: %v\n", file, err)
				problems++
			} else if deployment, ok := object.(*appsv1.Deployment); ok {
				pod := deployment.Spec.Template
				level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
				for _, result := range evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec) {
					if !result.Allowed {
						fmt.Printf("%s: %s: %s\n", file, result.ForbiddenReason, result.ForbiddenDetail)
						problems++
					}
				}
			}
		}
	}
	if problems > 0 {
		os.Exit(1)
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
