#pragma once
#include <string>
#include <string_view>

#include "cp/service/route_table.h"
#include "net/server.h"

namespace ee::cp {

/// What `Access-Control-Allow-Origin` is for a page of `origin`: itself, `*`, or empty when the service does not name
/// it.
std::string_view allowed_origin(const ServiceCors& cors, std::string_view origin);

/// Whether a browser asks beforehand what it may send (Fetch standard, CORS-preflight request).
bool is_preflight(const net::RequestHead& head);
/// The answer to that. `origin` of `allowed_origin`; empty: an answer that allows nothing.
net::Response preflight_answer(const ServiceCors& cors, std::string_view origin);

/// The fields that let a page read an answer, ready lines; always with `Vary: Origin`.
void append_cors(std::string& fields, const ServiceCors& cors, std::string_view origin);
/// The same for an answer made here.
void append_cors(net::Response& response, const ServiceCors& cors, std::string_view origin);

}  // namespace ee::cp
