// A document system in Go: signs a PDF. Usage: go run ./examples/go PROFILE CREDENTIAL IN.pdf OUT.pdf
package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

func main() {
	profile, credential, in, out := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute) // every call needs a deadline
	defer cancel()
	// Connect as the client whose key and certificate are in the profile directory.
	read := func(name string) []byte { return must(os.ReadFile(filepath.Join(profile, name))) }
	authority := x509.NewCertPool()
	authority.AppendCertsFromPEM(read("server-ca.pem"))
	us := must(tls.X509KeyPair(read("certificate.pem"), read("key.pem")))
	conn := must(grpc.NewClient(strings.TrimSpace(string(read("server"))), grpc.WithTransportCredentials(credentials.NewTLS(
		&tls.Config{Certificates: []tls.Certificate{us}, RootCAs: authority, MinVersion: tls.VersionTLS13}))))
	documents, signing := pb.NewDocumentServiceClient(conn), pb.NewSigningServiceClient(conn)
	// Upload: metadata first, then chunks of at most 64 KiB. A refusal is told by CloseAndRecv.
	up := must(documents.UploadDocument(ctx))
	_ = up.Send(&pb.UploadDocumentRequest{Part: &pb.UploadDocumentRequest_Metadata{
		Metadata: &pb.DocumentMetadata{RequestId: requestID(), Name: filepath.Base(in)},
	}})
	for rest := must(os.ReadFile(in)); len(rest) > 0; {
		n := min(len(rest), 64<<10)
		_ = up.Send(&pb.UploadDocumentRequest{Part: &pb.UploadDocumentRequest_Chunk{Chunk: rest[:n]}})
		rest = rest[n:]
	}
	document := must(up.CloseAndRecv()).GetDocument()
	item := &pb.SigningItemRequest{
		Source: &pb.SigningItemRequest_DocumentId{DocumentId: document.GetId()}, Format: pb.SignatureFormat_SIGNATURE_FORMAT_PADES_B_B,
	}
	operation := must(signing.CreateSigningOperation(ctx, &pb.CreateSigningOperationRequest{
		RequestId: requestID(), CredentialId: credential, Title: document.GetName(), Language: "en", Items: []*pb.SigningItemRequest{item},
	})).GetOperation().GetId()
	// The person reads the code on the phone, compares what it is for, and tells it.
	fmt.Printf("code for %s, SHA-256 %x: ", document.GetName(), document.GetSha256()[:8])
	var code string
	must(fmt.Scan(&code))
	must(signing.AuthorizeSigningOperation(ctx, &pb.AuthorizeSigningOperationRequest{RequestId: requestID(), OperationId: operation, Code: code}))
	// Fetch the signed PDF, then say that it is kept here.
	down := must(documents.DownloadArtifact(ctx, &pb.DownloadArtifactRequest{
		OperationId: operation, Content: pb.ArtifactContent_ARTIFACT_CONTENT_FULL,
	}))
	file, size := must(os.Create(out)), must(down.Recv()).GetHeader().GetSizeBytes()
	for size > 0 {
		size -= int64(must(file.Write(must(down.Recv()).GetChunk())))
	}
	must(signing.CompleteSigningOperation(ctx, &pb.CompleteSigningOperationRequest{RequestId: requestID(), OperationId: operation}))
	fmt.Println("signed:", out)
}

// requestID names one call: keep it, for the same call with the same id has no second effect.
func requestID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err) // a real system looks at the reason: docs/errors.md
	}
	return v
}
