#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "common/error.h"
#include "net/http.h"

namespace ee::cp {

/// Makes the bodies of long answers piece by piece, as fast as their clients take them: what waits of each is at most a
/// few pieces, however long the whole is. Thread-safe.
///
///   auto next = [reader = std::move(reader)]() mutable { return reader.next(); };
///   return pump.stream(std::move(head), std::move(first), std::move(next));
class ExportPump {
 public:
  /// The next piece of a body; empty at its end. After an error the client's connection is reset, so that it sees that
  /// the body is not whole. Runs on the pump's threads and may block on the database.
  using Next = std::move_only_function<Result<std::string>()>;

  /// Bodies that are under way at once.
  static constexpr std::size_t kMaxExports = 32;
  static constexpr std::size_t kThreads = 2;

  ExportPump();
  ExportPump(const ExportPump&) = delete;
  ExportPump& operator=(const ExportPump&) = delete;
  /// Cuts off what is under way.
  ~ExportPump();

  /// `head` with a body that begins with `first`. Errors: `overloaded`.
  Result<net::Response> stream(net::Response head, std::string first, Next next);

 private:
  class State;
  std::shared_ptr<State> state_;
};

}  // namespace ee::cp
