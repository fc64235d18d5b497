// Run Khronos' glTF validator on files: print errors, warnings and infos, exit with 1 on an error.
//
//   npm install --no-save --prefix tools gltf-validator
//   node tools/validate_gltf.mjs avatar.glb ...
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { validateBytes } = createRequire(import.meta.url)("gltf-validator");
let errors = 0;
for (const file of process.argv.slice(2)) {
  const report = await validateBytes(new Uint8Array(readFileSync(file)), { uri: file, maxIssues: 100 });
  const { numErrors, numWarnings, numInfos, numHints, messages } = report.issues;
  console.log(`${file}: ${numErrors} errors, ${numWarnings} warnings, ${numInfos} infos, ${numHints} hints`);
  for (const { severity, code, pointer, message } of messages) {
    if (severity <= 2) console.log(`  ${["error", "warning", "info"][severity]} ${code} at ${pointer}: ${message}`);
  }
  errors += numErrors;
}
process.exit(errors > 0 ? 1 : 0);
