"""A document system in Python: signs a PDF. Usage: python sign.py PROFILE CREDENTIAL IN.pdf OUT.pdf

Needs grpcio and grpcio-tools; the interface is generated from the proto files when the program starts.
"""

import pathlib
import sys
import tempfile
import uuid

import grpc
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).parents[2] / "proto"
CHUNK = 64 << 10
TIMEOUT = 60  # seconds: every call needs a deadline

generated = tempfile.mkdtemp()
sources = [str(p) for p in PROTO.rglob("*.proto")]
wellknown = pathlib.Path(protoc.__file__).parent / "_proto"
outputs = [f"--python_out={generated}", f"--grpc_python_out={generated}"]
assert protoc.main(["", f"-I{PROTO}", f"-I{wellknown}", *outputs, *sources]) == 0
sys.path.insert(0, generated)
from ecsigner.v1 import document_pb2 as doc, document_pb2_grpc, signing_pb2 as sig, signing_pb2_grpc  # noqa: E402


def request_id():
    """Keep it: the same call with the same id has no second effect."""
    return str(uuid.uuid4())


def connect(profile):
    """Connect as the client whose key and certificate are in the profile directory."""
    read = lambda name: (pathlib.Path(profile) / name).read_bytes()
    credentials = grpc.ssl_channel_credentials(read("server-ca.pem"), read("key.pem"), read("certificate.pem"))
    return grpc.secure_channel(read("server").decode().strip(), credentials)


def upload(path):
    """Metadata first, then chunks of at most 64 KiB."""
    yield doc.UploadDocumentRequest(metadata=doc.DocumentMetadata(request_id=request_id(), name=path.name))
    with path.open("rb") as f:
        while chunk := f.read(CHUNK):
            yield doc.UploadDocumentRequest(chunk=chunk)


def main(profile, credential, source, target):
    channel = connect(profile)
    documents, signing = document_pb2_grpc.DocumentServiceStub(channel), signing_pb2_grpc.SigningServiceStub(channel)
    source = pathlib.Path(source)
    document = documents.UploadDocument(upload(source), timeout=TIMEOUT).document
    item = sig.SigningItemRequest(document_id=document.id, format=sig.SIGNATURE_FORMAT_PADES_B_B)
    operation = signing.CreateSigningOperation(
        sig.CreateSigningOperationRequest(
            request_id=request_id(), credential_id=credential, title=source.name, language="en", items=[item]
        ),
        timeout=TIMEOUT,
    ).operation
    code = input(f"code for {document.name}, SHA-256 {document.sha256[:8].hex()}: ")
    signing.AuthorizeSigningOperation(
        sig.AuthorizeSigningOperationRequest(request_id=request_id(), operation_id=operation.id, code=code), timeout=TIMEOUT
    )
    wanted = doc.DownloadArtifactRequest(operation_id=operation.id, content=doc.ARTIFACT_CONTENT_FULL)
    with open(target, "wb") as f:
        for message in documents.DownloadArtifact(wanted, timeout=TIMEOUT):
            f.write(message.chunk)
    signing.CompleteSigningOperation(
        sig.CompleteSigningOperationRequest(request_id=request_id(), operation_id=operation.id), timeout=TIMEOUT
    )
    print("signed:", target)


if __name__ == "__main__":
    main(*sys.argv[1:])
