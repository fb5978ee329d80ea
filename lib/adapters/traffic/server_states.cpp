// SPDX-License-Identifier: Apache-2.0
#include "adapters/traffic/server_states.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/error.hpp"
#include "base/text.hpp"

namespace umbra::traffic {
namespace {

// srv_admin_state: why a server is in maintenance (forced, tracked, unresolved name, host name), and drained (forced,
// tracked). 0x04 only tells that the configuration once said so.
constexpr unsigned in_maintenance = 0x01 | 0x02 | 0x20 | 0x40;
constexpr unsigned in_drain = 0x08 | 0x10;
// srv_op_state: 0 stopped, 1 starting, 2 running, 3 stopping.
constexpr unsigned starting = 1;
constexpr unsigned running = 2;

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const std::size_t end = std::min(line.find(' '), line.size());
    if (end > 0) words.push_back(line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return words;
}

[[noreturn]] void no_list(std::string_view line) {
  throw base::Error(base::Kind::invalid, fmt::format("no list of servers' states: {}", base::shown(line)));
}

/// One line, by the names in the header.
class Row {
 public:
  Row(const std::vector<std::string_view>& header, std::string_view line)
      : m_header(header), m_line(line), m_words(words_of(line)) {}

  std::string_view text(std::string_view column) const {
    const auto at = static_cast<std::size_t>(std::ranges::find(m_header, column) - m_header.begin());
    if (at >= m_header.size() || at >= m_words.size()) no_list(m_line);
    return m_words[at];
  }
  unsigned number(std::string_view column) const {
    const std::string_view word = text(column);
    unsigned value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size()) no_list(m_line);
    return value;
  }

 private:
  const std::vector<std::string_view>& m_header;
  std::string_view m_line;
  std::vector<std::string_view> m_words;
};

}  // namespace

std::string ServerState::place() const {
  return address.find(':') == std::string::npos ? address + ":" + port : "[" + address + "]:" + port;
}

std::map<std::string, ServerState> parse_server_states(std::string_view text, std::string_view backend) {
  std::map<std::string, ServerState> servers;
  std::vector<std::string_view> header;
  const std::string_view first_line = text.substr(0, text.find('\n'));
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.starts_with("# ")) {
      header = words_of(line.substr(2));
    } else if (!line.empty() && !header.empty()) {
      const Row row(header, line);
      if (row.text("be_name") != backend) continue;
      const unsigned op = row.number("srv_op_state");
      const unsigned admin = row.number("srv_admin_state");
      servers[std::string(row.text("srv_name"))] = {op == starting || op == running, (admin & in_maintenance) != 0,
                                                    (admin & in_drain) != 0, std::string(row.text("srv_addr")),
                                                    std::string(row.text("srv_port"))};
    }
  }
  if (header.empty()) no_list(first_line);
  return servers;
}

}  // namespace umbra::traffic
