#pragma once
#include <cstdint>

namespace ee::bench {

/// What a comment of an event says: the time at which it was sent, by CLOCK_MONOTONIC in ns, always as many digits.
inline constexpr int kStampDigits = 19;

/// A workload for loads of proxies, on 127.0.0.1, by one thread; until its process is ended. Throws when it cannot.
///
///   POST /sink     reads the body (of known length) and answers with how many bytes it was
///   GET /events    text/event-stream: each 10 ms `data: <time>`; the clients' turns are spread over these 10 ms
///   GET /ws        101 to whatever asks, then echoes all bytes: no frame is looked at
[[noreturn]] void serve_origin(std::uint16_t port);

}  // namespace ee::bench
