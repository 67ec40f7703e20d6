// usage: node kql.cjs TABLES FILE...   Prints what Microsoft's language service for Kusto says of each query.
// TABLES is JSON: the columns of each table, as "name: type, ...".
const fs = require("fs");
require("@kusto/language-service-next/bridge.min.js");
require("@kusto/language-service-next/Kusto.Language.Bridge.min.js");

const { GlobalState, KustoCode, Symbols } = Kusto.Language;
const [tablesFile, ...files] = process.argv.slice(2);
const tables = Object.entries(JSON.parse(fs.readFileSync(tablesFile, "utf8"))).map(
  ([name, columns]) => new Symbols.TableSymbol.$ctor7(name, `(${columns})`, null),
);
const workspace = new Symbols.DatabaseSymbol.ctor("workspace", tables);
const globals = GlobalState.Default.WithDatabase(workspace);

for (const file of files) {
  const text = fs.readFileSync(file, "utf8");
  const code = KustoCode.ParseAndAnalyze(text, globals);
  for (const found of Bridge.toArray(code.GetDiagnostics())) {
    const line = text.slice(0, found.Start).split("\n").length;
    console.log(`${file}:${line}: ${found.Severity.toLowerCase()}: ${found.Message}`);
    process.exitCode = 1;
  }
}
