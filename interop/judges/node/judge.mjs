// pkijs as judge, as one process: each line of the input is a request, "operation TAB key=value TAB ...", each line of the
// output its answer in JSON. The process ends with its input.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { webcrypto } from "node:crypto";
import * as asn1js from "asn1js";
import * as pkijs from "pkijs";

pkijs.setEngine("node", new pkijs.CryptoEngine({ name: "node", crypto: webcrypto }));

const signatureTimeStamp = "1.2.840.113549.1.9.16.2.14";

const bytes = (file) => new Uint8Array(readFileSync(file)).slice().buffer;

function signedData(der) {
  const read = asn1js.fromBER(der);
  if (read.offset === -1) throw new Error(read.result.error);
  return new pkijs.SignedData({ schema: new pkijs.ContentInfo({ schema: read.result }).content });
}

// verdict of a SignedData with one signer: "right", or what is wrong. The chain is judged apart from the lists that the file may
// hold: pkijs would want one of every issuer, and takes no OCSP answer instead.
async function verdict(data, roots, content, checkDate) {
  const sid = data.signerInfos[0].sid;
  const leaf = data.certificates.find((c) => c.issuer.isEqual(sid.issuer) && c.serialNumber.isEqual(sid.serialNumber));
  if (!leaf) return "the signer's certificate is not there";
  const v = await data.verify({ signer: 0, checkChain: false, extendedMode: true, ...(content ? { data: content } : {}) }).catch((e) => e);
  if (v.signatureVerified !== true) return `${v.message || "wrong value"} (code ${v.code})`;
  const others = data.certificates.filter((c) => c !== leaf);
  const chain = await new pkijs.CertificateChainValidationEngine({ trustedCerts: roots, certs: [...others, leaf], checkDate }).verify();
  return chain.result ? "right" : `no chain: ${chain.resultMessage}`;
}

// stamps judges the signature time-stamps, and returns the time of the last one.
async function stamps(signer, roots) {
  const found = [];
  for (const a of signer.unsignedAttrs?.attributes ?? []) {
    if (a.type === signatureTimeStamp) {
      found.push(await stamp(new pkijs.SignedData({ schema: new pkijs.ContentInfo({ schema: a.values[0] }).content }), roots, signer.signature.valueBlock.valueHexView));
    }
  }
  return found;
}

async function stamp(token, roots, covered) {
  const info = pkijs.TSTInfo.fromBER(token.encapContentInfo.eContent.getValue());
  const hash = pkijs.getCrypto(true).getAlgorithmByOID(info.messageImprint.hashAlgorithm.algorithmId, true).name;
  const sum = new Uint8Array(await webcrypto.subtle.digest(hash, covered));
  if (Buffer.compare(sum, info.messageImprint.hashedMessage.valueBlock.valueHexView) !== 0) return "covers something else";
  return verdict(token, roots, covered, info.genTime); // pkijs holds the imprint against what is covered, too
}

// file, roots; content when it is detached; stamp=1: it is a time-stamp over content.
async function cms(r) {
  const roots = (r.roots ?? "").split(",").filter(Boolean).map((f) => pkijs.Certificate.fromBER(bytes(f)));
  const data = signedData(bytes(r.file));
  if (r.stamp === "1") return { stamp: await stamp(data, roots, bytes(r.content)) };
  if (data.signerInfos.length !== 1) throw new Error(`${data.signerInfos.length} signers`);
  return { signature: await verdict(data, roots, r.content ? bytes(r.content) : null, new Date()), stamps: await stamps(data.signerInfos[0], roots) };
}

for await (const line of createInterface({ input: process.stdin })) {
  const [operation, ...words] = line.split("\t");
  let answer;
  try {
    if (operation !== "cms") throw new Error(`no operation ${operation}`);
    answer = await cms(Object.fromEntries(words.map((w) => [w.slice(0, w.indexOf("=")), w.slice(w.indexOf("=") + 1)])));
  } catch (e) {
    answer = { error: String(e) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
