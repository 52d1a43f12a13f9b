#include "cp/http/openapi.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cctype>

#include "common/problem.h"
#include "common/require.h"

namespace ee::cp {
namespace {

namespace bj = boost::json;

bj::value parsed(const std::string& schema) { return bj::parse(schema); }

/// `get_api_v1_agents_agent_id`: unique, since method and pattern are.
std::string operation_id(const Route& route) {
  std::string id;
  for (const char c : route.method) id.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
  for (const char c : route.pattern) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0)
      id.push_back(c);
    else if (!id.ends_with('_'))
      id.push_back('_');
  }
  while (id.ends_with('_')) id.pop_back();
  return id;
}

/// One entry for each kind of credential that the access rule has a place for.
bj::array security_of(Access access) {
  const auto need = [](const char* scheme) { return bj::object{{scheme, bj::array{}}}; };
  const AccessRow& row = access_row(access);
  bj::array schemes;
  if (access == Access::open) return schemes;
  if (row.anonymous != Grant::no) schemes.push_back(bj::object{});
  if (row.key != Grant::no) schemes.push_back(need("api_key"));
  if (row.agent != Grant::no) schemes.push_back(need("agent_credential"));
  if (row.oidc != Grant::no) schemes.push_back(need("github_oidc"));
  if (row.admin != Grant::no || row.user != Grant::no) {
    schemes.push_back(need("session_token"));
    schemes.push_back(need("session_cookie"));
  }
  return schemes;
}

bj::array parameters_of(const Route& route) {
  bj::array parameters;
  for (std::size_t at = route.pattern.find('{'); at != std::string_view::npos; at = route.pattern.find('{', at + 1)) {
    const std::size_t end = route.pattern.find('}', at);
    parameters.push_back(bj::object{{"name", std::string(route.pattern.substr(at + 1, end - at - 1))},
                                    {"in", "path"},
                                    {"required", true},
                                    {"schema", {{"type", "string"}}}});
  }
  for (const QueryParameter& query : route.doc.query)
    parameters.push_back(bj::object{{"name", query.name},
                                    {"in", "query"},
                                    {"required", false},
                                    {"description", query.description},
                                    {"schema", parsed(query.schema)}});
  return parameters;
}

bj::object responses_of(const Route& route, json::SchemaSet& set) {
  bj::object responses;
  for (const DocumentedAnswer& answer : route.doc.answers) {
    bj::object response{{"description", answer.description}};
    if (answer.schema)
      response["content"] = bj::object{{answer.content_type, bj::object{{"schema", parsed(answer.schema(set))}}}};
    responses[std::to_string(answer.status)] = std::move(response);
  }
  responses["default"] = bj::object{{"$ref", "#/components/responses/Problem"}};
  return responses;
}

bj::object operation_of(const Route& route, json::SchemaSet& set) {
  bj::object operation{{"operationId", operation_id(route)},
                       {"summary", route.doc.summary},
                       {"tags", bj::array{bj::string(route.doc.tag)}},
                       {"security", security_of(route.access)}};
  if (bj::array parameters = parameters_of(route); !parameters.empty()) operation["parameters"] = std::move(parameters);
  if (route.doc.request)
    operation["requestBody"] =
        bj::object{{"required", true},
                   {"content", {{"application/json", bj::object{{"schema", parsed(route.doc.request(set))}}}}}};
  operation["responses"] = responses_of(route, set);
  return operation;
}

bj::object problem_schema() {
  const bj::object text{{"type", "string"}};
  return {{"type", "object"},
          {"description", "RFC 9457. Programs switch on `code`; docs/errors.md says what each means."},
          {"required", bj::array{"type", "title", "status", "code", "request_id"}},
          {"properties",
           {{"type", {{"type", "string"}, {"format", "uri"}}},
            {"title", text},
            {"status", {{"type", "integer"}}},
            {"detail", text},
            {"code", text},
            {"request_id", text},
            {"errors",
             {{"type", "array"},
              {"items",
               {{"type", "object"},
                {"required", bj::array{"field", "code"}},
                {"properties", {{"field", text}, {"code", text}, {"detail", text}}}}}}},
            {"reasons",
             {{"description",
               "Why agents cannot be taken. Of `no_capacity`: how many agents each reason applies to; of "
               "`agent_not_eligible`: the reasons of the one agent."},
              {"oneOf", bj::array{bj::object{{"type", "object"}, {"additionalProperties", {{"type", "integer"}}}},
                                  bj::object{{"type", "array"}, {"items", text}}}}}}}}};
}

bj::object security_schemes() {
  const auto bearer = [](const char* format, const char* description) {
    return bj::object{{"type", "http"}, {"scheme", "bearer"}, {"bearerFormat", format}, {"description", description}};
  };
  return {{"agent_credential", bearer("ee_agent_*", "Given, sealed, to an agent when it registers.")},
          {"api_key", bearer("ee_live_*", "Shown once when an account or a key is made.")},
          {"github_oidc", bearer("JWT", "The token of a GitHub Actions job, for this installation's audience.")},
          {"session_token", bearer("ee_sess_*", "Given by POST /admin/login in token mode.")},
          {"session_cookie",
           {{"type", "apiKey"},
            {"in", "cookie"},
            {"name", "ee_session"},
            {"description", "Set by POST /admin/login in cookie mode; changes also need X-CSRF-Token."}}}};
}

}  // namespace

std::string openapi_document(std::span<const Route> routes, std::string_view server_url, std::string_view version) {
  json::SchemaSet set;
  bj::object paths;
  for (const Route& route : routes) {
    bj::value& item = paths[route.pattern];
    if (!item.is_object()) item = bj::object{};
    std::string method(route.method);
    std::ranges::transform(method, method.begin(),
                           [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
    require(!item.as_object().contains(method));
    item.as_object()[method] = operation_of(route, set);
  }
  bj::object schemas{{"Problem", problem_schema()}};
  for (const auto& [name, schema] : set.components()) schemas[name] = parsed(schema);
  const bj::object document{
      {"openapi", "3.1.0"},
      {"info", {{"title", "easyenclave control plane"}, {"version", version}}},
      {"servers", bj::array{bj::object{{"url", server_url}}}},
      {"paths", std::move(paths)},
      {"components",
       {{"schemas", std::move(schemas)},
        {"securitySchemes", security_schemes()},
        {"responses",
         {{"Problem",
           {{"description", "An error (RFC 9457)."},
            {"content",
             {{std::string(kProblemContentType), {{"schema", {{"$ref", "#/components/schemas/Problem"}}}}}}}}}}}}}};
  return bj::serialize(document);
}

}  // namespace ee::cp
