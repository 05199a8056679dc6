//go:build tools

// Package kube pins the control plane that the tests run: a tools module has no code of its own, only imports that
// `go mod tidy` must keep.
package kube

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
