// SPDX-License-Identifier: Apache-2.0
#pragma once
// The redirectors and what they share. Inside this folder only.

#include <map>
#include <memory>
#include <string>

#include "base/error.hpp"
#include "model/redirect.hpp"
#include "ports/switching.hpp"

namespace umbra::traffic {

std::unique_ptr<ports::Redirector> hook_redirector(const model::Redirect& redirect, const model::HookCommand& hook);
std::unique_ptr<ports::Redirector> haproxy_redirector(const model::Redirect& redirect,
                                                      const model::HaproxyChange& change, base::Clock& clock);
std::unique_ptr<ports::Redirector> route_redirector(const model::Redirect& redirect, const model::RouteChange& route);

/// A redirector that does, and says, what the configuration does of it.
class ConfiguredRedirector : public ports::Redirector {
 public:
  explicit ConfiguredRedirector(const model::Redirect& redirect)
      : m_name(redirect.name()), m_timeout(redirect.timeout), m_retries(redirect.retries) {}
  std::string name() const final { return m_name; }
  unsigned retries() const final { return m_retries; }
  base::Millis timeout() const { return m_timeout; }

 private:
  std::string m_name;
  base::Millis m_timeout;
  unsigned m_retries;
};

/// What stands for the host; Kind::usage where nothing does. `key` is the configuration's.
const std::string& at_host(const std::map<std::string, std::string>& per_host, const std::string& key,
                           const model::HostName& host);

}  // namespace umbra::traffic
