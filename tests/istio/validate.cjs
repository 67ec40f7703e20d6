// usage: node validate.cjs FILE...   Checks Istio's resources against the models of its own definitions.
const fs = require("fs");
const yaml = require("js-yaml");

for (const file of process.argv.slice(2)) {
  for (const found of yaml.loadAll(fs.readFileSync(file, "utf8"))) {
    if (!found.apiVersion.includes("istio.io")) continue;
    // v1 has the schema of v1beta1, and there are models of that.
    const resource = { ...found, apiVersion: found.apiVersion.replace(/v1$/, "v1beta1") };
    const Model = require(`@kubernetes-models/istio/${resource.apiVersion}/${resource.kind}`)[resource.kind];
    try {
      new Model(resource).validate();
      console.log(`${resource.kind} is valid`);
    } catch (error) {
      console.log(`${file}: ${resource.kind}: ${error.message}`);
      process.exitCode = 1;
    }
  }
}
