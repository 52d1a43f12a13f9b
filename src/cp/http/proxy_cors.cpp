#include "cp/http/proxy_cors.h"

#include <algorithm>

#include "net/proxy/hop_fields.h"

namespace ee::cp {
namespace {

std::string joined(const std::vector<std::string>& items) {
  std::string out;
  for (const std::string& item : items) out.append(out.empty() ? "" : ", ").append(item);
  return out;
}

std::vector<HttpHeader> fields_of(const ServiceCors& cors, std::string_view origin) {
  std::vector<HttpHeader> fields;
  if (!origin.empty()) {
    fields.push_back({"Access-Control-Allow-Origin", std::string(origin)});
    if (cors.credentials.value_or(false) && origin != "*")
      fields.push_back({"Access-Control-Allow-Credentials", "true"});
  }
  fields.push_back({"Vary", "Origin"});
  return fields;
}

}  // namespace

std::string_view allowed_origin(const ServiceCors& cors, std::string_view origin) {
  if (origin.empty()) return {};
  const auto named = std::ranges::find(cors.origins, origin);
  if (named != cors.origins.end() && origin != "*") return *named;
  const bool anybody = std::ranges::find(cors.origins, "*") != cors.origins.end();
  return anybody ? std::string_view("*") : std::string_view();
}

bool is_preflight(const net::RequestHead& head) {
  return head.method == "OPTIONS" && head.field("origin") && head.field("access-control-request-method");
}

net::Response preflight_answer(const ServiceCors& cors, std::string_view origin) {
  net::Response response{.status = 204};
  append_cors(response, cors, origin);
  if (origin.empty()) return response;
  response.headers.push_back(
      {"Access-Control-Allow-Methods", cors.methods ? joined(*cors.methods) : "GET, HEAD, POST"});
  if (cors.headers && !cors.headers->empty())
    response.headers.push_back({"Access-Control-Allow-Headers", joined(*cors.headers)});
  response.headers.push_back({"Access-Control-Max-Age", "600"});
  return response;
}

void append_cors(std::string& fields, const ServiceCors& cors, std::string_view origin) {
  for (const HttpHeader& field : fields_of(cors, origin)) net::append_field(fields, field.name, field.value);
}

void append_cors(net::Response& response, const ServiceCors& cors, std::string_view origin) {
  for (HttpHeader& field : fields_of(cors, origin)) response.headers.push_back(std::move(field));
}

}  // namespace ee::cp
