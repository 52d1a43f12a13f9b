#pragma once
// Inside of net/server: the io thread's end of a ResponseStream.
#include <memory>

#include "net/server.h"
#include "net/stream.h"

namespace ee::net {

/// Moves what the stream's producer writes into the exchange, whose answer has begun.
std::shared_ptr<StreamHandler> make_response_pump(const std::shared_ptr<StreamBody>& body, const RouteInfo& route);

}  // namespace ee::net
