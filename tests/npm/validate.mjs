// usage: node validate.mjs FILE...   Compares Istio's resources with the models of their own definitions.
import fs from "fs";
import yaml from "js-yaml";

for (const file of process.argv.slice(2)) {
  for (const resource of yaml.loadAll(fs.readFileSync(file, "utf8"))) {
    if (!resource.apiVersion.includes("istio.io")) continue;
    const models = await import(`@kubernetes-models/istio/${resource.apiVersion}/${resource.kind}`);
    try {
      new models[resource.kind](resource).validate();
      console.log(`${resource.kind} is valid`);
    } catch (error) {
      console.log(`${file}: ${resource.kind}: ${error.message}`);
      process.exitCode = 1;
    }
  }
}
