// Command lint runs the lint of `docker build --check` on Dockerfiles, without an engine: it prints what BuildKit says,
// and fails when it says anything. No base is pulled: each is taken for an image with a PATH.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/opencontainers/go-digest"
)

// base answers for every image that a Dockerfile starts from.
type base struct{}

func (base) ResolveImageConfig(
	_ context.Context, ref string, _ sourceresolver.Opt,
) (string, digest.Digest, []byte, error) {
	config := []byte(`{"os": "linux", "config": {"Env": ["PATH=/usr/bin"]}}`)
	return ref, digest.FromBytes(config), config, nil
}

func main() {
	clean := true
	for _, path := range os.Args[1:] {
		text, err := os.ReadFile(path)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		source := llb.NewSourceMap(nil, path, "Dockerfile", text)
		source.Definition = &llb.Definition{}
		options := dockerfile2llb.ConvertOpt{SourceMap: source, MetaResolver: base{}}
		results, err := dockerfile2llb.DockerfileLint(context.Background(), text, options)
		if err != nil {
			fmt.Fprintln(os.Stderr, path+":", err)
			os.Exit(2)
		}
		if results.Error != nil {
			clean = false
			fmt.Printf("%s: %s\n", path, results.Error.Message)
		}
		for _, warning := range results.Warnings {
			clean = false
			fmt.Printf("%s:%d: %s: %s\n", path, warning.Location.Ranges[0].Start.Line, warning.RuleName, warning.Detail)
		}
	}
	if !clean {
		os.Exit(1)
	}
}
