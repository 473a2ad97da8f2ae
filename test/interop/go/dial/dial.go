// Package dial opens connections to Sandgate.
package dial

import (
	"crypto/tls"
	"crypto/x509"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// Way is where a service is.
type Way struct {
	// Address is host:port or unix:/path.
	Address string `json:"address"`
	// ServerName is the name that the server's certificate must carry: a Unix socket has none of its own.
	ServerName string `json:"serverName"`
}

// Open connects with a client certificate, or without one where it is nil.
func (way Way) Open(serviceCA []byte, certificate *tls.Certificate) (*grpc.ClientConn, error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(serviceCA)
	config := &tls.Config{RootCAs: roots, ServerName: way.ServerName}
	if certificate != nil {
		// not by Certificates: that one is held back where the server does not ask for its authority
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	return grpc.NewClient(way.Address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
}
