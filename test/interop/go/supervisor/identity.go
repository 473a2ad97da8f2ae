// Package supervisor holds the identity of a sandbox as its supervisor does.
package supervisor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	authv1 "sandgate.dev/interop/gen/sandgate/auth/v1"
)

// Identity is a key that is born here and never leaves, and what Auth makes of it.
type Identity struct {
	SandboxID string
	key       *ecdsa.PrivateKey
	issued    *authv1.SandboxCredentials
}

// Enrol makes a P-256 key and exchanges the bootstrap token, which counts once, for a certificate and a session token.
func Enrol(ctx context.Context, conn grpc.ClientConnInterface, sandboxID, bootstrapToken string) (*Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	response, err := authv1.NewAuthServiceClient(conn).IssueSandboxToken(
		WithBearer(ctx, bootstrapToken),
		&authv1.IssueSandboxTokenRequest{SandboxId: sandboxID, CertificateSigningRequest: csr},
	)
	if err != nil {
		return nil, err
	}
	return &Identity{SandboxID: sandboxID, key: key, issued: response.GetCredentials()}, nil
}

// Token goes with every call, on a connection with the certificate: it counts nowhere else.
func (identity *Identity) Token() string {
	return identity.issued.GetToken()
}

// Certificate is what a connection is opened with.
func (identity *Identity) Certificate() tls.Certificate {
	return tls.Certificate{Certificate: identity.issued.GetCertificateChain(), PrivateKey: identity.key}
}

// Refresh takes a new certificate and token for the same key. The token that it asks with is worth nothing afterwards.
func (identity *Identity) Refresh(ctx context.Context, conn grpc.ClientConnInterface) error {
	response, err := authv1.NewAuthServiceClient(conn).RefreshSandboxToken(
		WithBearer(ctx, identity.Token()),
		&authv1.RefreshSandboxTokenRequest{SandboxId: identity.SandboxID},
	)
	if err != nil {
		return err
	}
	identity.issued = response.GetCredentials()
	return nil
}

// WithBearer adds a token to a call.
func WithBearer(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}
