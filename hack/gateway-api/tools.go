//go:build tools

// Package gatewayapi pins the Gateway API whose CRDs the tests install.
package gatewayapi

import _ "sigs.k8s.io/gateway-api/apis/v1"
