"""pyHanko as judge and as maker of vectors, as one process.

Each line of the input is a request, "operation TAB key=value TAB ...", each line of the output its answer in JSON. The
process ends with its input.
"""
import asyncio
import io
import json
import logging
import sys
from datetime import datetime

from asn1crypto import cms as asn1_cms
from asn1crypto.crl import CertificateList
from asn1crypto.ocsp import OCSPResponse
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign import fields, signers
from pyhanko.sign.general import load_certs_from_pemder
from pyhanko.sign.timestamps.aiohttp_client import AIOHttpTimeStamper
from pyhanko.sign.validation import ades
from pyhanko.sign.validation.dss import DocumentSecurityStore
from pyhanko.sign.validation.policy_decl import (
    LocalKnowledge, PdfSignatureValidationSpec, RevocationInfoGatheringSpec, RevinfoOnlineFetchingRule, SignatureValidationSpec,
)
from pyhanko.sign.validation.pdf_embedded import async_validate_pdf_signature, async_validate_pdf_timestamp
from pyhanko.sign.validation.status import StandardCMSSignatureStatus
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.context import CertValidationPolicySpec
from pyhanko_certvalidator.fetchers.aiohttp_fetchers import AIOHttpFetcherBackend
from pyhanko_certvalidator.ltv.types import ValidationTimingInfo
from pyhanko_certvalidator.policy_decl import REQUIRE_REVINFO, CertRevTrustPolicy
from pyhanko_certvalidator.revinfo.archival import CRLContainer, OCSPContainer
from pyhanko_certvalidator.registry import SimpleTrustManager

import aiohttp


def certificates(request, key="roots"):
    return list(load_certs_from_pemder(f for f in request.get(key, "").split(",") if f))


def spec(request, dss=None):
    """Revocation data are required of every certificate; online=1 allows to fetch them, dss is where else they are found."""
    online = request.get("online") == "1"
    return SignatureValidationSpec(
        cert_validation_policy=CertValidationPolicySpec(
            trust_manager=SimpleTrustManager.build(trust_roots=certificates(request)),
            revinfo_policy=CertRevTrustPolicy(REQUIRE_REVINFO),
        ),
        revinfo_gathering_policy=RevocationInfoGatheringSpec(
            online_fetching_rule=RevinfoOnlineFetchingRule.NO_HISTORICAL_FETCH if online else RevinfoOnlineFetchingRule.LOCAL_ONLY,
        ),
        local_knowledge=LocalKnowledge(known_certs=certificates(request, "known")) if dss is None else LocalKnowledge(
            known_certs=certificates(request, "known") + list(dss.load_certs()),
            known_crls=[c for der in dss.crls for c in [CRLContainer(CertificateList.load(der.get_object().data))]],
            known_ocsps=[c for der in dss.ocsps for c in OCSPContainer.load_multi(OCSPResponse.load(der.get_object().data))],
        ),
    )


def timing(request):
    if "time" not in request:
        return None
    at = datetime.fromisoformat(request["time"].replace("Z", "+00:00"))
    return ValidationTimingInfo(validation_time=at, best_signature_time=at, point_in_time_validation=False)


def said(result):
    return f"{type(result.ades_subindic).__name__}.{result.ades_subindic.name}"


async def adesverify(request):
    """file, level (basic, time, lt with the evidence in the file, lta), roots, online; optional: time. One verdict for each signature that is no time-stamp."""
    with open(request["file"], "rb") as f:
        reader = PdfFileReader(f)
        verdicts = []
        for sig in reader.embedded_regular_signatures:
            if request["level"] == "basic":
                r = await ades.ades_basic_validation(
                    sig.signed_data, spec(request), timing_info=timing(request), raw_digest=sig.compute_digest(),
                    status_cls=StandardCMSSignatureStatus)
            elif request["level"] == "time":
                r = await ades.ades_with_time_validation(
                    sig.signed_data, spec(request), timing_info=timing(request), raw_digest=sig.compute_digest())
            elif request["level"] == "lt":
                dss = DocumentSecurityStore.read_dss(reader)
                r = await ades.ades_with_time_validation(
                    sig.signed_data, spec(request, dss), timing_info=timing(request), raw_digest=sig.compute_digest())
            else:
                r = await ades.ades_lta_validation(sig, PdfSignatureValidationSpec(spec(request)), timing_info=timing(request))
            verdicts.append({"verdict": said(r), "why": r.failure_msg})
        return {"signatures": verdicts}


async def cms(request):
    """The same for a CMS: file, level (basic, time); content when it is detached."""
    with open(request["file"], "rb") as f:
        data = asn1_cms.ContentInfo.load(f.read())["content"]
    digest = None
    if "content" in request:
        import hashlib
        with open(request["content"], "rb") as f:
            digest = hashlib.new(data["signer_infos"][0]["digest_algorithm"]["algorithm"].native, f.read()).digest()
    judge = ades.ades_basic_validation if request["level"] == "basic" else ades.ades_with_time_validation
    r = await judge(data, spec(request), timing_info=timing(request), raw_digest=digest, status_cls=StandardCMSSignatureStatus)
    return {"signatures": [{"verdict": said(r), "why": r.failure_msg}]}


async def changes(request):
    """file; optional: roots. What was changed after each signature and time-stamp, and whether it is intact. No chain is asked for without roots."""
    with open(request["file"], "rb") as f:
        reader = PdfFileReader(f, strict=request.get("strict") != "0")
        found = []
        for sig in reader.embedded_signatures:
            stamp = sig.sig_object.get("/Type") == "/DocTimeStamp"
            context = ValidationContext(trust_roots=certificates(request), allow_fetching=False)
            try:
                judge = async_validate_pdf_timestamp if stamp else async_validate_pdf_signature
                s = await judge(sig, context)
                found.append({
                    "field": sig.field_name, "stamp": stamp, "intact": s.intact, "valid": s.valid, "trusted": s.trusted,
                    "coverage": s.coverage.name, "changes": s.modification_level.name if s.modification_level else None,
                    "allowed": s.docmdp_ok,
                })
            except Exception as e:  # of one signature, by somebody else
                found.append({"field": sig.field_name, "stamp": stamp, "error": f"{type(e).__name__}: {e}"})
        return {"signatures": found}


async def sign(request):
    """file, out, store (PKCS#12), password, tsa, roots, level (B, T, LT, LTA); optional: pss=1, field."""
    level = request["level"]
    context = ValidationContext(
        trust_roots=certificates(request), allow_fetching=True, revocation_mode="require", fetcher_backend=AIOHttpFetcherBackend())
    signer = signers.SimpleSigner.load_pkcs12(request["store"], passphrase=request["password"].encode(), prefer_pss=request.get("pss") == "1")
    async with aiohttp.ClientSession() as session:
        with open(request["file"], "rb") as f:
            writer = IncrementalPdfFileWriter(f)
            out = await signers.PdfSigner(
                signers.PdfSignatureMetadata(
                    field_name=request.get("field", "Signature1"), md_algorithm="sha256", subfilter=fields.SigSeedSubFilter.PADES,
                    embed_validation_info=level in ("LT", "LTA"), use_pades_lta=level == "LTA",
                    validation_context=context if level in ("LT", "LTA") else None,
                ), signer, timestamper=AIOHttpTimeStamper(request["tsa"], session=session) if level != "B" else None,
            ).async_sign_pdf(writer)
    with open(request["out"], "wb") as f:
        f.write(out.getbuffer())
    return {"made": level}


async def main():
    logging.disable(logging.CRITICAL)
    operations = {"adesverify": adesverify, "cms": cms, "changes": changes, "sign": sign}
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        operation, *words = line.rstrip("\n").split("\t")
        try:
            answer = await operations[operation](dict(w.split("=", 1) for w in words))
        except Exception as e:
            answer = {"error": f"{type(e).__name__}: {e}"}
        print(json.dumps(answer), file=answers, flush=True)


asyncio.run(main())
