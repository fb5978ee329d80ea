// SPDX-License-Identifier: Apache-2.0
// What holds where nothing was said, told beside the rest: the values themselves are the model's.
#include "adapters/config/defaults.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "adapters/config/document.hpp"
#include "base/text.hpp"
#include "model/units.hpp"

namespace umbra::config {
namespace {

void add_default(model::Config& config, const std::string& key, std::string value) {
  const bool known = std::ranges::find(config.origins, key, &model::Origin::key) != config.origins.end();
  if (!known) record_origin(config, key, std::move(value), "default");
}

/// As what a pattern that matches every VM and stands before all others would set.
void add_policy_defaults(model::Config& config) {
  const model::VmPolicy policy;
  const std::string all = join_path("vms", "*") + ".";
  add_default(config, all + "priority", std::string(model::to_string(policy.priority)));
  add_default(config, all + "window", base::to_human(policy.window));
  add_default(config, all + "rpo", base::to_human(policy.rpo));
  add_default(config, all + "probe_deadline", base::to_human(policy.probe_deadline));
  add_default(config, all + "on_failed_probe", policy.roll_back_on_failed_probe ? "rollback" : "keep");
  add_default(config, all + "after", std::string(model::to_string(policy.after)));
  add_default(config, all + "rollback_window", base::to_human(policy.rollback_window));
  add_default(config, all + "retain", fmt::format("{}", policy.retain));
  add_default(config, all + "downtime_limit", fmt::format("{}ms", policy.downtime_limit.count()));
  add_default(config, all + "auto_converge", policy.auto_converge ? "true" : "false");
  add_default(config, all + "postcopy", policy.postcopy ? "true" : "false");
  add_default(config, all + "quiesce", policy.quiesce ? "true" : "false");
}

/// Origins are shown; "http://user:password@host" must not be.
void hide_password(model::Config& config) {
  for (model::Origin& origin : config.origins) {
    if (origin.key == "metrics.url") origin.value = base::without_credentials(origin.value);
  }
}

/// "hosts" of "hosts.alpha.uri", as its place in the order in which the configuration is shown.
std::ptrdiff_t rank(const model::Origin& origin) {
  constexpr std::array<std::string_view, 9> order{"config",  "state", "hosts",     "vms",  "pool",
                                                  "metrics", "place", "replicate", "fence"};
  return std::ranges::find(order, std::string_view(origin.key).substr(0, origin.key.find('.'))) - order.begin();
}

}  // namespace

void add_defaults(model::Config& config) {
  add_default(config, "state.dir", config.state_dir);
  for (model::HostConfig& host : config.hosts) {
    const std::string own = join_path("hosts", host.name.get()) + ".";
    if (host.peer_uri.empty()) host.peer_uri = host.uri;
    add_default(config, own + "peer_uri", host.peer_uri);
    add_default(config, own + "images", host.images);
  }
  add_policy_defaults(config);
  add_default(config, "metrics.source", config.metrics.source);
  hide_password(config);
  if (config.metrics.source == "prometheus") {
    add_default(config, "metrics.step", base::to_human(config.metrics.step));
    add_default(config, "metrics.rate_window", "two steps");
    add_default(config, "metrics.timeout", base::to_human(config.metrics.timeout));
    add_default(config, "metrics.vm_labels", fmt::format("{}", fmt::join(config.metrics.vm_labels, ", ")));
  }
  add_default(config, "metrics.net_capacity", model::to_human(config.metrics.capacities.net));
  add_default(config, "metrics.disk_capacity", model::to_human(config.metrics.capacities.disk));
  add_default(config, "metrics.keep", base::to_human(config.metrics.keep));
  add_default(config, "metrics.max_size", model::to_human(config.metrics.max_size));
  add_default(config, "place.headroom", fmt::format("{}", config.place.headroom.value));
  add_default(config, "place.cpu_overcommit", fmt::format("{}", config.place.cpu_overcommit));
  add_default(config, "replicate.every", base::to_human(config.replicate.every));
  if (!config.fence.command.empty())
    add_default(config, "fence.timeout", base::to_human(base::Seconds(config.fence.timeout)));
  std::ranges::stable_sort(config.origins, {}, rank);
}

}  // namespace umbra::config
