// SPDX-License-Identifier: Apache-2.0
#pragma once
// The crash matrix: one blow at one write of the journal, recovery, and what must hold then.

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "scene.hpp"

namespace umbra::switchover {

/// By post-copy: there, by a guest that does not converge.
enum class Way { there, back, by_postcopy };
inline constexpr std::array all_ways{Way::there, Way::back, Way::by_postcopy};
enum class Victim { umbra, source_qemu, source_libvirtd, target_libvirtd, source_host, target_host };
enum class Link { up, cut, cut_then_healed };

inline constexpr std::array all_victims{Victim::umbra,           Victim::source_qemu, Victim::source_libvirtd,
                                        Victim::target_libvirtd, Victim::source_host, Victim::target_host};
inline constexpr std::array all_links{Link::up, Link::cut, Link::cut_then_healed};
std::string_view to_string(Victim victim);
std::string_view to_string(Link link);

struct Case {
  Way way = Way::there;
  std::string call;  ///< of the journal: "journal freeze intent"
  std::size_t at = 0;
  fakes::Fault::When when = fakes::Fault::When::before;
  Victim victim = Victim::umbra;
  Link link = Link::up;
  std::string to_string() const;
};

/// Every write of the journal in a walk of either way, in three moments, with every victim and link.
std::vector<Case> all_cases();
fakes::SimWorld world_before(Way way);
void walk(Run& run, Way way);

bool any_open(const fakes::SimWorld& world);
/// Leaves a walk there of which Umbra died right after that call.
void die_after(fakes::SimWorld& world, const std::string& call);

/// Runs a case to its end: what is wrong then, or was violated on the way; empty where all is well.
std::string verdict_of(const Case& one, const std::function<void(fakes::SimWorld&)>& arrange = {});
std::string verdict_of(Way way, const fakes::Fault& fault, const std::function<void(fakes::SimWorld&)>& arrange = {});
/// The same for blows at random calls, of random victims, upon the walk and upon recoveries.
std::string verdict_of_seed(std::uint64_t seed);

}  // namespace umbra::switchover
