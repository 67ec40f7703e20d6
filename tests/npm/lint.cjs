// usage: node lint.cjs SCHEMA FILE...   Prints what Microsoft's language service for Azure Pipelines says of each file.
const fs = require("fs");
const { pathToFileURL } = require("url");

const say = process.stdout.write.bind(process.stdout);
console.log = () => {}; // the service talks to itself there
const service = require("azure-pipelines-language-service");

const SEVERITIES = ["", "error", "warning", "information", "hint"];
const [schemaFile, ...files] = process.argv.slice(2);
const schema = JSON.parse(fs.readFileSync(schemaFile, "utf8"));
const uri = pathToFileURL(schemaFile).href;
const server = service.getLanguageService(() => Promise.resolve(schema), [], null);
server.configure({ validate: true, schemas: [{ uri, fileMatch: ["*"], schema }], customTags: [] });

async function main() {
  for (const file of files) {
    const text = fs.readFileSync(file, "utf8");
    const document = service.TextDocument.create(pathToFileURL(file).href, "azure-pipelines", 1, text);
    for (const found of await server.doValidation(document, service.parse(text, []))) {
      const line = found.range.start.line + 1;
      say(`${file}:${line}: ${SEVERITIES[found.severity]}: ${found.message}\n`);
      process.exitCode = 1;
    }
  }
}

main();
