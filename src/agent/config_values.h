#pragma once
#include <optional>
#include <string_view>

#include "agent/config.h"

namespace boost::json {
class value;
}

namespace ee::agent {

/// Four decimal numbers up to 255 without leading zeros.
bool is_ipv4(std::string_view text);
/// Whether `host` is a literal of 127.0.0.0/8 or `[::1]`.
bool is_loopback_address(std::string_view host);
/// `<IPv4 address>:<port>` or `[::1]:<port>`. Ports 0 to 65534: the next one is cloudflared's.
std::optional<Endpoint> parse_endpoint(std::string_view text);

/// An entry of `trusted_cp_mrtds`: an MRTD in hexadecimal, or `{"mrtd","rtmr0".."rtmr3"}` with null = not checked.
std::optional<TrustedControlPlane> parse_trusted_control_plane(const boost::json::value& entry);

/// Keys of mode `cp-bootstrap`, in the form of KeySpec.
std::optional<std::string> set_cp_command(AgentConfig& config, const boost::json::value& value);
std::optional<std::string> set_cp_env(AgentConfig& config, const boost::json::value& value);
std::optional<std::string> set_cp_image(AgentConfig& config, const boost::json::value& value);
std::optional<std::string> set_cp_data_dir(AgentConfig& config, const boost::json::value& value);
std::string show_cp_command(const AgentConfig& config);
std::string show_cp_env(const AgentConfig& config);  ///< names, their values as `***`
std::string show_cp_image(const AgentConfig& config);
std::string show_cp_data_dir(const AgentConfig& config);

}  // namespace ee::agent
