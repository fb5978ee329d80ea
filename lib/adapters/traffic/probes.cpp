// SPDX-License-Identifier: Apache-2.0
// Whether the VM serves: by a command's exit status, by a connection, by an answer to HTTP.
#include <curl/curl.h>
#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "adapters/traffic/command.hpp"
#include "adapters/traffic/connection.hpp"
#include "adapters/traffic/traffic.hpp"
#include "base/error.hpp"

namespace umbra::traffic {
namespace {

using base::Millis;
using ports::HookResult;

/// A connection that was begun before clients' way was changed may never be answered: a new one is.
constexpr Millis longest_connect{1000};

/// One look, within the time given.
class Look {
 public:
  virtual ~Look() = default;
  virtual HookResult once(const std::string& record, Millis most) const = 0;
};

class CommandLook final : public Look {
 public:
  explicit CommandLook(base::Argv command) : m_command(std::move(command)) {}
  HookResult once(const std::string& record, Millis most) const override {
    return call(m_command, record + "\n", most);
  }

 private:
  base::Argv m_command;
};

class TcpLook final : public Look {
 public:
  explicit TcpLook(std::string address) : m_address(std::move(address)) {}
  HookResult once(const std::string&, Millis most) const override {
    try {
      const Connection connection(m_address, std::min(most, longest_connect));
      return {true, m_address + " takes connections"};
    } catch (const base::Error& error) {
      return {false, error.what()};
    }
  }

 private:
  std::string m_address;
};

/// The status is all that counts. A page is taken to its end, so that the server logs no client that left; one without
/// end is not.
std::size_t take_some(char*, std::size_t, std::size_t size, void* taken) noexcept {
  constexpr std::size_t most = 256u << 10;
  std::size_t& so_far = *static_cast<std::size_t*>(taken);
  so_far += size;
  return so_far > most ? 0 : size;
}

class HttpLook final : public Look {
 public:
  HttpLook(model::HttpProbe http, Millis deadline)
      : m_http(std::move(http)), m_most(std::max(deadline / 2, longest_connect)) {}

  HookResult once(const std::string&, Millis most) const override {
    const CurlHandle curl = make_curl();
    std::array<char, CURL_ERROR_SIZE> detail{};
    const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(curl.get(), option, value); };
    set(CURLOPT_URL, m_http.url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_PROXY, "");
    set(CURLOPT_USERAGENT, "umbra");
    set(CURLOPT_WRITEFUNCTION, take_some);
    std::size_t taken = 0;
    set(CURLOPT_WRITEDATA, &taken);
    set(CURLOPT_ERRORBUFFER, detail.data());
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(std::min(most, longest_connect).count()));
    set(CURLOPT_TIMEOUT_MS, static_cast<long>(std::min(most, m_most).count()));  // so that there is a second look
    if (!m_http.ca.empty()) set(CURLOPT_CAINFO, m_http.ca.c_str());
    const CURLcode code = curl_easy_perform(curl.get());
    long status = 0;
    curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK && status == 0)
      return {false, fmt::format("{}: {}", m_http.url, detail[0] != '\0' ? detail.data() : curl_easy_strerror(code))};
    const bool good = m_http.status == 0 ? status < 400 : status == static_cast<long>(m_http.status);
    if (good) return {true, fmt::format("{} answers with {}", m_http.url, status)};
    const std::string wanted = m_http.status == 0 ? "a status below 400" : fmt::format("{}", m_http.status);
    return {false, fmt::format("{} answers with {}, not with {}", m_http.url, status, wanted)};
  }

 private:
  model::HttpProbe m_http;
  Millis m_most;
};

class RepeatedProbe final : public ports::Probe {
 public:
  RepeatedProbe(std::string name, std::unique_ptr<Look> look, std::string program, Millis deadline, base::Clock& clock)
      : m_name(std::move(name)),
        m_look(std::move(look)),
        m_program(std::move(program)),
        m_deadline(deadline),
        m_clock(clock) {}

  std::string name() const override { return m_name; }

  HookResult check(const std::string& record) override {
    HookResult last = ports::until_ok(m_clock, m_deadline, [&](Millis left) { return m_look->once(record, left); });
    if (!last.ok) last.message += fmt::format(" (looked for {})", base::to_human(m_deadline));
    return last;
  }

  std::string look() override {
    // A command wants a record, and may do more than look.
    if (!m_program.empty()) return require_runnable({m_program}) + " can be run";
    const HookResult seen = m_look->once("", longest_connect);
    if (seen.ok) return seen.message;
    throw base::Error(base::Kind::unreachable, seen.message,
                      "where the VM runs, start its service or correct probe in [vms]: a switchover counts as failed");
  }

 private:
  std::string m_name;
  std::unique_ptr<Look> m_look;
  std::string m_program;  ///< of a command
  Millis m_deadline;
  base::Clock& m_clock;
};

}  // namespace

std::unique_ptr<ports::Probe> probe(const model::ProbeWay& probe, Millis deadline, base::Clock& clock) {
  std::unique_ptr<Look> look;
  std::string program;
  if (const auto* tcp = std::get_if<model::TcpProbe>(&probe)) {
    look = std::make_unique<TcpLook>(tcp->address);
  } else if (const auto* http = std::get_if<model::HttpProbe>(&probe)) {
    look = std::make_unique<HttpLook>(*http, deadline);
  } else {
    const auto& command = std::get<base::Argv>(probe);
    program = command.at(0);
    look = std::make_unique<CommandLook>(command);
  }
  return std::make_unique<RepeatedProbe>(model::name_of(probe), std::move(look), std::move(program), deadline, clock);
}

}  // namespace umbra::traffic
