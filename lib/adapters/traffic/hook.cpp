// SPDX-License-Identifier: Apache-2.0
// An executable of the operator's own: called as `EXECUTABLE redirect|undo FROM TO`, the hosts' names, with the record
// on its standard input.
#include "adapters/traffic/command.hpp"
#include "adapters/traffic/parts.hpp"

namespace umbra::traffic {
namespace {

class HookRedirector final : public ConfiguredRedirector {
 public:
  HookRedirector(const model::Redirect& redirect, std::string executable)
      : ConfiguredRedirector(redirect), m_executable(std::move(executable)) {}

  ports::HookResult redirect(const ports::Redirection& to) override {
    return call({m_executable, to.undo ? "undo" : "redirect", to.from.get(), to.to.get()}, to.record + "\n", timeout());
  }
  std::string look() override { return require_runnable({m_executable}) + " can be run"; }

 private:
  std::string m_executable;
};

}  // namespace

std::unique_ptr<ports::Redirector> hook_redirector(const model::Redirect& redirect, const model::HookCommand& hook) {
  return std::make_unique<HookRedirector>(redirect, hook.executable);
}

}  // namespace umbra::traffic
