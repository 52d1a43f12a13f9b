#pragma once
#include <span>
#include <string>
#include <string_view>

#include "cp/http/route.h"

namespace ee::cp {

/// The OpenAPI 3.1 document of a route table, as JSON text. Made from the same table that the router uses, so it cannot
/// name a route that does not exist or leave one out.
std::string openapi_document(std::span<const Route> routes, std::string_view server_url, std::string_view version);

}  // namespace ee::cp
