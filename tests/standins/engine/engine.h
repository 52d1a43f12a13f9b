#pragma once
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/temp_dir.h"

namespace ee::standins {

/// A container engine on a unix socket that misbehaves as it is told. It speaks just enough HTTP to be called: one
/// request per connection. By default it is a healthy engine of API 1.41 without containers.
class Engine {
 public:
  struct Request {
    std::string method;
    std::string target;  ///< as sent: path and query
    std::string head;    ///< with its fields
    std::string body;
    bool operator==(const Request&) const = default;
  };
  /// The way to the caller, for one request.
  class Peer {
   public:
    Peer(int descriptor, const std::atomic<bool>& ending) : descriptor_(descriptor), ending_(ending) {}
    /// False when the caller has gone.
    bool send(std::string_view bytes) const;
    /// A whole answer with Content-Length.
    void answer(int status, std::string_view body) const;
    /// The head of a chunked 200, then pieces, then the end.
    void open_stream() const;
    bool chunk(std::string_view bytes) const;
    void end_stream() const;
    /// Sends nothing until the caller goes away or the stand-in ends.
    void hang() const;

   private:
    int descriptor_;
    const std::atomic<bool>& ending_;
  };
  /// Returning closes the connection.
  using Handler = std::function<void(const Request&, const Peer&)>;

  Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  std::string socket() const { return (dir_ / "e.sock").string(); }
  /// For requests `METHOD /path` whose target begins so, `/v1.41` left out; the longest match wins.
  void on(const std::string& method_and_path, Handler handler);
  /// These answers in turn; the last one again and again.
  void on_each(const std::string& method_and_path, std::vector<Handler> handlers);
  std::vector<Request> requests() const;
  /// How many requests began with that `METHOD /path`.
  std::size_t count(const std::string& method_and_path) const;

  /// Closes the socket and every connection, as a stopped engine.
  void stop();
  void start();

  static Handler json(int status, std::string body);
  static Handler hangs();
  static Handler closes();

 private:
  void accept_loop(int listener);
  void serve(int descriptor);
  Handler handler_of(const Request& request);

  testing::TempDir dir_;
  mutable std::mutex mutex_;
  std::map<std::string, std::vector<Handler>> handlers_;
  std::vector<Request> requests_;
  std::vector<std::thread> connections_;
  std::atomic<bool> ending_ = false;
  int listener_ = -1;
  std::thread acceptor_;
};

}  // namespace ee::standins
