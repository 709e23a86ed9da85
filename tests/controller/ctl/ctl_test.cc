// SPDX-License-Identifier: Apache-2.0
//
// ctl as its user sees it: arguments in, text and exit code out, against a controller on loopback.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "controller/ctl/command_line.h"
#include "nlohmann/json.hpp"
#include "tests/common/spec/reference_spec.h"
#include "tests/controller/ctl/fake_controller.h"

namespace npufleet::ctl {
namespace {

using ::testing::Contains;
using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

v1::Rollout RolloutIn(v1::Rollout::Phase phase, v1::Task::State task_state, uint64_t change = 0) {
  v1::Rollout rollout;
  rollout.set_name("qwen3-235b");
  rollout.set_revision(3);
  rollout.set_phase(phase);
  rollout.set_endpoint("http://192.168.0.15:8006");
  rollout.set_served_model_name("Qwen3-235B-A22B");
  rollout.set_change(change);
  v1::Task& task = *rollout.add_tasks();
  task.set_id("driver@node-a");
  task.set_stage("driver");
  task.set_node("node-a");
  task.set_state(task_state);
  return rollout;
}

class CtlTest : public ::testing::Test {
 protected:
  ExitCode Run(std::vector<std::string> arguments) {
    arguments.push_back("--insecure-loopback");
    arguments.push_back(controller_.address());
    return RunAlone(std::move(arguments));
  }
  ExitCode RunAlone(std::vector<std::string> arguments) {
    std::istringstream in(input_);
    std::ostringstream out, err;
    Terminal terminal{in, out, err};
    ExitCode code = RunCtl(std::move(arguments), terminal, {"0.1.0", "abc"});
    out_ = out.str();
    err_ = err.str();
    return code;
  }
  std::string SpecFile(const std::string& text) {
    std::string path = absl::StrCat(::testing::TempDir(), "/ctl_test_", getpid(), ".yaml");
    std::ofstream(path) << text;
    return path;
  }

  // The commands that the help of `path` lists.
  std::vector<std::string> CommandsIn(std::vector<std::string> path) {
    path.push_back("--help");
    EXPECT_EQ(RunAlone(path), ExitCode::kDone) << err_;
    std::vector<std::string> names;
    const size_t begin = out_.find("\nSubcommands:\n");
    if (begin == std::string::npos) return names;
    const std::vector<std::string> lines = absl::StrSplit(out_.substr(begin + 1), '\n');
    for (size_t i = 1; absl::StartsWith(lines[i], "  "); ++i) {
      const std::vector<std::string> words = absl::StrSplit(lines[i], ' ', absl::SkipEmpty());
      names.push_back(words[0]);
    }
    return names;
  }
  // All commands, groups included, as their words: {rollout}, {rollout, apply}, …
  std::vector<std::vector<std::string>> AllCommands() {
    std::vector<std::vector<std::string>> all;
    std::vector<std::vector<std::string>> open = {{}};
    while (!open.empty()) {
      const std::vector<std::string> path = open.back();
      open.pop_back();
      for (const std::string& name : CommandsIn(path)) {
        all.push_back(path);
        all.back().push_back(name);
        open.push_back(all.back());
      }
    }
    return all;
  }

  FakeController controller_;
  std::string input_;
  std::string out_;
  std::string err_;
};

TEST_F(CtlTest, ApplySendsTheDeploymentAndSaysWhatComesNext) {
  *controller_.apply_reply.mutable_rollout() =
      RolloutIn(v1::Rollout::PROGRESSING, v1::Task::PENDING);
  controller_.apply_reply.add_notes("--num-gpus is not used");
  EXPECT_EQ(Run({"rollout", "apply", "-f", SpecFile(spec::FilledReferenceSpec())}), ExitCode::kDone)
      << err_;
  EXPECT_EQ(
      out_,
      "note: --num-gpus is not used\nqwen3-235b: revision 3 accepted\n"
      "  ctl rollout watch qwen3-235b     # until it serves\n  ctl rollout status qwen3-235b\n");
  EXPECT_THAT(controller_.calls(), ElementsAre("apply qwen3-235b"));
}

TEST_F(CtlTest, ApplyOfABadSpecNamesThePlaceAndSendsNothing) {
  std::string file =
      SpecFile("apiVersion: npufleet/v1\nspec:\n  engine:\n    tensorParalelSize: 16\n");
  EXPECT_EQ(Run({"rollout", "apply", "-f", file}), ExitCode::kUsage);
  EXPECT_EQ(err_,
            absl::StrCat(file,
                         ":4:5: unknown field \"tensorParalelSize\" in spec.engine; did you mean "
                         "\"tensorParallelSize\"?\n"));
  EXPECT_THAT(controller_.calls(), IsEmpty());
}

TEST_F(CtlTest, PlanOfTheUnfilledReferenceNamesTheLinesOfItsDigests) {
  EXPECT_EQ(Run({"rollout", "plan", "-f", SpecFile(spec::ReferenceSpec())}), ExitCode::kUsage);
  EXPECT_THAT(err_, ContainsRegex("yaml:[0-9]+:[0-9]+: spec.driver.driver.sha256: missing"));
  EXPECT_THAT(controller_.calls(), IsEmpty());
}

TEST_F(CtlTest, ApplyOfWhatServesAlreadyIsNothingToDo) {
  *controller_.apply_reply.mutable_rollout() = RolloutIn(v1::Rollout::SERVING, v1::Task::CURRENT);
  controller_.apply_reply.set_unchanged(true);
  controller_.apply_reply.mutable_time()->set_seconds(1000);
  v1::Rollout& rollout = *controller_.apply_reply.mutable_rollout();
  for (v1::Task& task : *rollout.mutable_tasks()) task.mutable_observed_time()->set_seconds(1001);
  v1::Task& probe = *rollout.add_tasks();
  probe.set_id("probe@node-a");
  probe.set_state(v1::Task::CURRENT);
  probe.mutable_observed_time()->set_seconds(959);
  input_ = spec::FilledReferenceSpec();
  EXPECT_EQ(Run({"rollout", "apply", "-f", "-", "--wait"}), ExitCode::kDone);
  EXPECT_EQ(out_,
            "qwen3-235b: nothing to do; revision 3 serves at http://192.168.0.15:8006\n"
            "  1 task was checked now; checked in their own period: probe@node-a 41s ago\n");
}

TEST_F(CtlTest, ApplyThatTheControllerRefusesAsBadIsUsage) {
  controller_.status = {grpc::StatusCode::INVALID_ARGUMENT, "node-b is claimed by another"};
  input_ = spec::FilledReferenceSpec();
  EXPECT_EQ(Run({"rollout", "apply", "-f", "-"}), ExitCode::kUsage);
  EXPECT_EQ(err_, "ctl: node-b is claimed by another\n");
}

TEST_F(CtlTest, ApplyWaitEndsWhenItServesAndShowsWhatChanged) {
  *controller_.apply_reply.mutable_rollout() =
      RolloutIn(v1::Rollout::PROGRESSING, v1::Task::PENDING);
  controller_.watches = {{RolloutIn(v1::Rollout::PROGRESSING, v1::Task::RUNNING, 1),
                          RolloutIn(v1::Rollout::SERVING, v1::Task::RUNNING, 2),
                          RolloutIn(v1::Rollout::SERVING, v1::Task::CURRENT, 3)}};
  input_ = spec::FilledReferenceSpec();
  EXPECT_EQ(Run({"rollout", "apply", "-f", "-", "--wait"}), ExitCode::kDone);
  EXPECT_THAT(out_, ContainsRegex("driver@node-a +running\n"));
  EXPECT_THAT(out_, ContainsRegex("driver@node-a +current\n"));
  EXPECT_THAT(out_, HasSubstr("curl http://192.168.0.15:8006/v1/chat/completions"));
  EXPECT_THAT(out_, Not(HasSubstr("\x1b[")));
}

TEST_F(CtlTest, AnOlderRevisionThatServesDoesNotEndTheWait) {
  *controller_.apply_reply.mutable_rollout() =
      RolloutIn(v1::Rollout::PROGRESSING, v1::Task::PENDING);
  v1::Rollout older = RolloutIn(v1::Rollout::SERVING, v1::Task::CURRENT, 1);
  older.set_revision(2);
  controller_.watches = {{older, RolloutIn(v1::Rollout::FAILED, v1::Task::FAILED, 2)}};
  input_ = spec::FilledReferenceSpec();
  EXPECT_EQ(Run({"rollout", "apply", "-f", "-", "--wait"}), ExitCode::kFailed);
}

TEST_F(CtlTest, AWaitOutlivesTheControllersReboot) {
  controller_.watches = {{RolloutIn(v1::Rollout::PROGRESSING, v1::Task::RUNNING, 1)},
                         {RolloutIn(v1::Rollout::SERVING, v1::Task::CURRENT, 2)}};
  controller_.watch_ends = {{grpc::StatusCode::UNAVAILABLE, "going down"}};
  EXPECT_EQ(Run({"rollout", "watch", "qwen3-235b"}), ExitCode::kDone);
  EXPECT_THAT(err_, HasSubstr("the controller is not reachable; waiting for it"));
  EXPECT_THAT(controller_.calls(), ElementsAre("watch", "watch"));
}

TEST_F(CtlTest, WatchTimesOut) {
  controller_.watches = {{RolloutIn(v1::Rollout::PROGRESSING, v1::Task::RUNNING, 1)}};
  EXPECT_EQ(Run({"rollout", "watch", "qwen3-235b", "--timeout", "200ms"}), ExitCode::kTimedOut);
  EXPECT_THAT(err_, HasSubstr("qwen3-235b is not done after 200ms"));
}

TEST_F(CtlTest, WatchPrintsJsonLines) {
  controller_.watches = {{RolloutIn(v1::Rollout::FAILED, v1::Task::FAILED, 1)}};
  EXPECT_EQ(Run({"rollout", "watch", "qwen3-235b", "-o", "json"}), ExitCode::kFailed);
  EXPECT_THAT(out_, ContainsRegex("^\\{\"name\":\"qwen3-235b\".*\\}\n$"));
}

TEST_F(CtlTest, StatusExitsOneForAFailedRollout) {
  *controller_.rollouts.add_rollouts() = RolloutIn(v1::Rollout::FAILED, v1::Task::FAILED);
  EXPECT_EQ(Run({"rollout", "status", "qwen3-235b"}), ExitCode::kFailed);
  EXPECT_EQ(Run({"rollout", "status"}), ExitCode::kDone);
  EXPECT_THAT(out_, ContainsRegex("qwen3-235b +3 +failed"));
  EXPECT_EQ(Run({"rollout", "status", "qwen3-235b", "-o", "yaml"}), ExitCode::kFailed);
  EXPECT_THAT(out_, HasSubstr("phase: failed\n"));
}

TEST_F(CtlTest, AnUnknownRolloutIsAFailure) {
  EXPECT_EQ(Run({"rollout", "status", "nobody"}), ExitCode::kFailed);
  EXPECT_EQ(err_, "ctl: no rollout nobody\n");
}

TEST_F(CtlTest, NoControllerIsUnreachable) {
  EXPECT_EQ(RunAlone({"node", "list", "--insecure-loopback", "127.0.0.1:1"}),
            ExitCode::kUnreachable);
  EXPECT_THAT(err_, HasSubstr("the controller is not reachable"));
  EXPECT_EQ(RunAlone({"rollout", "watch", "x", "--insecure-loopback", "127.0.0.1:1"}),
            ExitCode::kUnreachable);
}

TEST_F(CtlTest, AControllerThatIsBusyIsReached) {
  controller_.status = {grpc::StatusCode::UNAVAILABLE,
                        "the controller is busy or cannot write its store"};
  EXPECT_EQ(Run({"rollout", "retry", "q"}), ExitCode::kUnreachable);
  EXPECT_THAT(err_, StartsWith("ctl: the controller is busy or cannot write its store\n"));
  EXPECT_THAT(err_, HasSubstr("ask again in a moment"));
  EXPECT_THAT(err_, Not(HasSubstr("not reachable")));
  EXPECT_EQ(Run({"rollout", "logs", "q", "driver@node-a"}), ExitCode::kUnreachable);
  EXPECT_THAT(err_, Not(HasSubstr("not reachable")));
}

TEST_F(CtlTest, AConnectionThatIsLostInTheCallIsNoAnswer) {
  LostController lost;
  EXPECT_EQ(RunAlone({"version", "--insecure-loopback", lost.address()}), ExitCode::kUnreachable);
  EXPECT_THAT(err_, HasSubstr("the controller is not reachable: "));
  EXPECT_THAT(err_, Not(HasSubstr("failed to connect"))) << "it was there";
}

TEST_F(CtlTest, PlaintextIsForLoopbackOnly) {
  for (const char* address : {"192.0.2.1:7600", "127.example.com:7600", "controller:7600"}) {
    EXPECT_EQ(RunAlone({"node", "list", "--insecure-loopback", address}), ExitCode::kUsage)
        << address;
  }
}

TEST_F(CtlTest, PermissionDeniedIsAFailureThatSaysSo) {
  controller_.status = {grpc::StatusCode::PERMISSION_DENIED, "viewer may not reboot"};
  EXPECT_EQ(Run({"node", "reboot", "node-a"}), ExitCode::kFailed);
  EXPECT_EQ(err_, "ctl: not allowed: viewer may not reboot\n");
}

TEST_F(CtlTest, ControlsSendTheirVerb) {
  EXPECT_EQ(Run({"rollout", "retry", "q"}), ExitCode::kDone);
  EXPECT_EQ(Run({"rollout", "restart", "q", "--from", "docker@node-b"}), ExitCode::kDone);
  EXPECT_EQ(Run({"rollout", "pause", "q"}), ExitCode::kDone);
  EXPECT_EQ(Run({"rollout", "resume", "q"}), ExitCode::kDone);
  EXPECT_EQ(Run({"rollout", "cancel", "q"}), ExitCode::kDone);
  EXPECT_EQ(Run({"rollout", "delete", "q"}), ExitCode::kDone);
  EXPECT_EQ(Run({"node", "reboot", "node-b"}), ExitCode::kDone);
  EXPECT_THAT(controller_.calls(),
              ElementsAre("RETRY q ", "RESTART q docker@node-b", "PAUSE q ", "RESUME q ",
                          "CANCEL q ", "delete q", "reboot node-b"));
}

TEST_F(CtlTest, RebootSaysWhatComesNext) {
  EXPECT_EQ(Run({"node", "reboot", "node-b"}), ExitCode::kDone);
  EXPECT_EQ(out_,
            "node-b: will reboot; its rollout goes on by itself afterwards\n"
            "  ctl rollout watch q\n  ctl node show node-b\n");
}

TEST_F(CtlTest, JsonHasZeroesAndNoReadingThatNobodyTook) {
  v1::NodeStatus& node = *controller_.nodes.add_nodes();
  node.set_name("node-a");
  v1::Chip& chip = *node.mutable_inventory()->add_chips();
  chip.set_temperature_celsius(0);
  EXPECT_EQ(Run({"npu", "-o", "json"}), ExitCode::kDone) << err_;
  const auto json = nlohmann::json::parse(out_);
  EXPECT_EQ(json["nodes"][0]["connected"], false);
  const auto& shown = json["nodes"][0]["inventory"]["chips"][0];
  EXPECT_EQ(shown["npu"], 0);
  EXPECT_EQ(shown["health"], "HEALTH_UNKNOWN");
  EXPECT_EQ(shown["temperatureCelsius"], 0);
  EXPECT_EQ(shown["errorCodes"].size(), 0u);
  for (const char* reading : {"powerWatts", "hbmUsedMib", "aicorePercent", "physicalId"})
    EXPECT_FALSE(shown.contains(reading)) << reading;
  EXPECT_FALSE(json["nodes"][0].contains("lastSeen"));
}

TEST_F(CtlTest, NodesNpusAndRevisionsAreShown) {
  v1::NodeStatus& node = *controller_.nodes.add_nodes();
  node.set_name("node-a");
  node.set_boot_id("boot-1");
  v1::Chip& chip = *node.mutable_inventory()->add_chips();
  chip.set_npu(3);
  chip.set_name("910B3");
  chip.set_health(v1::Chip::OK);
  EXPECT_EQ(Run({"npu"}), ExitCode::kDone) << err_;
  EXPECT_THAT(out_, ContainsRegex("node-a +3 +0 +910B3 +ok"));
  EXPECT_EQ(Run({"node", "list"}), ExitCode::kDone) << err_;
  EXPECT_THAT(out_, ContainsRegex("node-a .*1/1 ok"));
  EXPECT_EQ(Run({"node", "show", "node-a"}), ExitCode::kDone) << err_;
  EXPECT_THAT(out_, HasSubstr("boot id   boot-1\n"));
  EXPECT_THAT(out_, HasSubstr("910B3"));
  EXPECT_EQ(Run({"node", "show", "node-c"}), ExitCode::kFailed);
  EXPECT_EQ(err_, "ctl: no node node-c; known are: node-a\n");
  v1::Revision& revision = *controller_.revisions.add_revisions();
  revision.set_revision(4);
  revision.set_author("alice");
  EXPECT_EQ(Run({"rollout", "history", "q"}), ExitCode::kDone) << err_;
  EXPECT_THAT(out_, ContainsRegex("4 .*alice"));
}

TEST_F(CtlTest, SpecInitAsksTheControllerUnlessAddressesAreGiven) {
  v1::NodeStatus& node = *controller_.nodes.add_nodes();
  node.set_name("node-a");
  node.set_address("192.168.0.15:7602");
  EXPECT_EQ(Run({"spec", "init", "--chips", "4"}), ExitCode::kDone) << err_;
  EXPECT_THAT(out_, HasSubstr("address: 192.168.0.15\n"));
  EXPECT_THAT(out_, HasSubstr("visibleChips: [0, 1, 2, 3]"));
  EXPECT_THAT(controller_.calls(), ElementsAre("nodes"));
  EXPECT_EQ(RunAlone({"spec", "init", "--node", "a=10.0.0.1,eth0", "--node", "b=10.0.0.2,eth0",
                      "--model", "deepseek-ai/DeepSeek-R1"}),
            ExitCode::kDone)
      << err_;
  EXPECT_THAT(out_, HasSubstr("name: deepseek-r1\n"));
  EXPECT_THAT(out_, HasSubstr("nic: eth0\n"));
  EXPECT_EQ(RunAlone({"spec", "init", "--node", "a="}), ExitCode::kUsage);
}

TEST_F(CtlTest, ExplainShowsTheTreeOfReasons) {
  v1::Explanation& serve = controller_.explanation;
  serve.set_subject("serve@node-a");
  serve.set_state("pending");
  serve.add_sentences("nobody has looked at it since it mattered");
  v1::Explanation& driver = *serve.add_because();
  driver.set_subject("driver@node-b");
  driver.set_state("failed");
  driver.add_sentences("checked 3s ago: absent: no driver is installed");
  driver.mutable_failure()->set_class_(v1::Failure::CONFIG);
  driver.mutable_failure()->set_signature("DRV-05");
  driver.mutable_failure()->set_symptom("sha256 differs");
  driver.mutable_failure()->set_advice("Correct the spec.");
  driver.mutable_failure()->add_log_tail("last line");
  EXPECT_EQ(Run({"rollout", "explain", "q", "serve@node-a"}), ExitCode::kDone) << err_;
  EXPECT_EQ(out_,
            "serve@node-a: pending\n"
            "  - nobody has looked at it since it mattered\n"
            "  driver@node-b: failed\n"
            "    - checked 3s ago: absent: no driver is installed\n"
            "    config, DRV-05\n"
            "      symptom: sha256 differs\n"
            "      advice:  Correct the spec.\n"
            "      | last line\n");
  EXPECT_THAT(controller_.calls(), ElementsAre("explain q serve@node-a"));
}

TEST_F(CtlTest, PlanAsCommandsIsAScriptByNode) {
  controller_.plan.add_blocked("node-b: lost 12s ago");
  v1::Plan::Commands& skipped = *controller_.plan.add_commands();
  skipped.set_task("driver@node-a");
  skipped.set_node("node-a");
  skipped.set_skipped(true);
  skipped.set_reason("as wanted (24.1.rc3/7.5)");
  v1::Plan::Commands& runs = *controller_.plan.add_commands();
  runs.set_task("docker@node-a");
  runs.set_node("node-a");
  runs.set_reason("docker is not installed");
  runs.add_lines("cd ~");
  runs.add_lines("tar zxf docker-28.0.4.tgz");
  input_ = spec::FilledReferenceSpec();
  EXPECT_EQ(Run({"rollout", "plan", "-f", "-", "--commands"}), ExitCode::kDone) << err_;
  EXPECT_EQ(out_,
            "# blocked: node-b: lost 12s ago\n\n"
            "# ===== on node-a =====\n"
            "# driver@node-a: skipped: as wanted (24.1.rc3/7.5)\n"
            "# docker@node-a: docker is not installed\n"
            "cd ~\n"
            "tar zxf docker-28.0.4.tgz\n");
  EXPECT_THAT(controller_.calls(), ElementsAre("plan as commands"));
}

TEST_F(CtlTest, NodeRemoveSaysWhatItMeans) {
  EXPECT_EQ(Run({"node", "remove", "node-b"}), ExitCode::kDone) << err_;
  EXPECT_THAT(out_, HasSubstr("node-b: removed; its certificate is not renewed any more"));
  controller_.status = {grpc::StatusCode::FAILED_PRECONDITION, "node-b is used by rollout q"};
  EXPECT_EQ(Run({"node", "remove", "node-b"}), ExitCode::kFailed);
  EXPECT_EQ(err_, "ctl: node-b is used by rollout q\n");
}

TEST_F(CtlTest, UndoNamesTheRevisionItGoesTo) {
  EXPECT_EQ(Run({"rollout", "undo", "q"}), ExitCode::kDone) << err_;
  EXPECT_EQ(Run({"rollout", "undo", "q", "--to-revision", "3"}), ExitCode::kDone) << err_;
  EXPECT_EQ(out_, "q: revision 0 has the former spec and is progressing\n");
  EXPECT_EQ(Run({"rollout", "undo", "q", "--to-revision", "-1"}), ExitCode::kUsage);
  EXPECT_THAT(controller_.calls(), ElementsAre("UNDO q ", "UNDO q 3"));
}

TEST_F(CtlTest, EventsTurnAllPages) {
  for (uint64_t id = 1; id <= 5; ++id) {
    v1::Event event;
    event.set_id(id);
    event.set_kind("OperationStarted");
    event.set_message(absl::StrCat("event ", id));
    controller_.events.push_back(event);
  }
  EXPECT_EQ(Run({"rollout", "events"}), ExitCode::kDone);
  for (int id = 1; id <= 5; ++id) EXPECT_THAT(out_, HasSubstr(absl::StrCat("event ", id, "\n")));
  EXPECT_EQ(Run({"rollout", "events", "--after", "4"}), ExitCode::kDone);
  EXPECT_THAT(out_, Not(HasSubstr("event 4")));
}

TEST_F(CtlTest, LogsPrintTheLinesAndNothingThatSteersATerminal) {
  controller_.log.resize(2);
  controller_.log[0].mutable_operation()->set_id("x");
  controller_.log[1].set_log_line("in\x1b[31mstalled");
  EXPECT_EQ(Run({"rollout", "logs", "q", "driver@node-a"}), ExitCode::kDone);
  EXPECT_EQ(out_, "in [31mstalled\n");
}

TEST_F(CtlTest, TokensStandAloneOnTheirLine) {
  EXPECT_EQ(Run({"token", "create", "--node", "node-b", "--valid-for", "24h"}), ExitCode::kDone);
  EXPECT_EQ(out_, "npufleet.node-b.s.d\n");
  EXPECT_THAT(controller_.calls(), ElementsAre("token 86400"));
}

TEST_F(CtlTest, VersionNamesBothSides) {
  EXPECT_EQ(Run({"version"}), ExitCode::kDone);
  EXPECT_EQ(out_, "ctl         0.1.0 (abc)\ncontroller  9.9 (abc), epoch 0\n");
  EXPECT_EQ(Run({"version", "-o", "json"}), ExitCode::kDone);
  auto json = nlohmann::json::parse(out_);
  EXPECT_EQ(json["ctl"]["version"], "0.1.0");
  EXPECT_EQ(json["controller"]["version"], "9.9");
  EXPECT_EQ(RunAlone({"version", "-o", "json", "--insecure-loopback", "127.0.0.1:1"}),
            ExitCode::kUnreachable);
  json = nlohmann::json::parse(out_);
  EXPECT_EQ(json["ctl"]["commit"], "abc");
  EXPECT_FALSE(json.contains("controller"));
  EXPECT_EQ(RunAlone({"--version"}), ExitCode::kDone);
  EXPECT_EQ(out_, "ctl 0.1.0 (abc)\n");
}

TEST_F(CtlTest, WrongCommandLinesAreUsage) {
  EXPECT_EQ(RunAlone({}), ExitCode::kUsage);
  EXPECT_THAT(err_, StartsWith("ctl: a command is missing; ctl has rollout, node, "));
  EXPECT_EQ(RunAlone({"rollout", "statsu"}), ExitCode::kUsage);
  EXPECT_EQ(err_, "ctl: no command \"statsu\" in rollout; did you mean \"status\"?\n");
  EXPECT_EQ(RunAlone({"rollout", "apply"}), ExitCode::kUsage);
  EXPECT_EQ(RunAlone({"node", "list", "-o", "xml"}), ExitCode::kUsage);
  EXPECT_EQ(RunAlone({"rollout", "apply", "-f", "-", "--timeout", "soon"}), ExitCode::kUsage);
  EXPECT_THAT(err_, HasSubstr("needs a duration like 30s"));
  EXPECT_EQ(RunAlone({"-o", "json", "nod", "list"}), ExitCode::kUsage);
  EXPECT_EQ(err_, "ctl: no command \"nod\" in ctl; did you mean \"node\"?\n");
  EXPECT_EQ(RunAlone({"rollout", "apply", "--fiel=x"}), ExitCode::kUsage);
  EXPECT_EQ(err_, "ctl: no option \"--fiel\" of ctl rollout apply; did you mean --file?\n");
  EXPECT_EQ(RunAlone({"node", "list", "--confg", "x"}), ExitCode::kUsage);
  EXPECT_EQ(err_, "ctl: no option \"--confg\" of ctl node list; did you mean --config?\n");
  EXPECT_EQ(RunAlone({"npu", "b", "a"}), ExitCode::kUsage);
  EXPECT_EQ(err_, "ctl: ctl npu does not take \"b a\"; see ctl npu --help\n");
  EXPECT_EQ(RunAlone({"chat", "write", "a", "haiku"}), ExitCode::kUsage);
  EXPECT_EQ(err_, "ctl: the prompt is one argument: quote it, as in ctl chat \"write a haiku\"\n");
}

TEST_F(CtlTest, HelpIsACommandToo) {
  EXPECT_EQ(RunAlone({"--help"}), ExitCode::kDone);
  std::string help = out_;
  EXPECT_THAT(help, Not(HasSubstr("insecure")));
  EXPECT_EQ(RunAlone({"help"}), ExitCode::kDone);
  EXPECT_EQ(out_, help);
  EXPECT_EQ(RunAlone({"rollout", "apply", "--help"}), ExitCode::kDone);
  help = out_;
  EXPECT_EQ(RunAlone({"help", "rollout", "apply"}), ExitCode::kDone);
  EXPECT_EQ(out_, help);
  EXPECT_EQ(RunAlone({"help", "rolout"}), ExitCode::kUsage);
  EXPECT_EQ(err_, "ctl: no command \"rolout\" in ctl; did you mean \"rollout\"?\n");
}

TEST_F(CtlTest, HelpOfEachCommandHasExamplesAndNamesTheGlobalOptions) {
  const std::vector<std::vector<std::string>> commands = AllCommands();
  EXPECT_THAT(commands, Contains(ElementsAre("rollout")));
  EXPECT_THAT(commands, Contains(ElementsAre("rollout", "apply")));
  EXPECT_THAT(commands, Contains(ElementsAre("completion")));
  for (std::vector<std::string> command : commands) {
    const std::string name = absl::StrJoin(command, " ");
    command.push_back("--help");
    EXPECT_EQ(RunAlone(command), ExitCode::kDone);
    EXPECT_THAT(out_, HasSubstr("Examples:\n  ")) << name;
    EXPECT_THAT(out_, HasSubstr("\nWith every command: -o table|json|yaml, --config FILE")) << name;
  }
}

TEST_F(CtlTest, ConfigurationErrorsNameTheFile) {
  EXPECT_EQ(RunAlone({"node", "list", "--config", "/nowhere/config.yaml"}), ExitCode::kUsage);
  EXPECT_EQ(err_, "ctl: /nowhere/config.yaml cannot be read: No such file or directory\n");
  std::string file = SpecFile("controller: 127.0.0.1:7600\ncertifcate: x\n");
  EXPECT_EQ(RunAlone({"node", "list", "--config", file}), ExitCode::kUsage);
  EXPECT_THAT(err_, HasSubstr(":2: unknown key \"certifcate\""));
  file = SpecFile("controller: 127.0.0.1:7600\nca: ca.pem\ncertificate: c.pem\nkey: k.pem\n");
  EXPECT_EQ(RunAlone({"node", "list", "--config", file}), ExitCode::kUsage);
  EXPECT_THAT(err_, HasSubstr("/ca.pem"));
}

TEST_F(CtlTest, AConfigurationThatMayNotBeReadIsNamed) {
  if (std::filesystem::exists("/etc/npufleet/ctl/config.yaml")) GTEST_SKIP() << "it is found";
  const std::string home = absl::StrCat(::testing::TempDir(), "/ctl_home_", getpid());
  std::filesystem::create_directories(home + "/.npufleet");
  std::ofstream(home + "/.npufleet/config.yaml") << "controller: 127.0.0.1:7600\n";
  std::filesystem::permissions(home, std::filesystem::perms::none);
  const char* former = std::getenv("HOME");
  const std::string former_home = former == nullptr ? "" : former;
  setenv("HOME", home.c_str(), 1);
  const uid_t user = geteuid();
  if (user == 0) {  // who may read everything
    ASSERT_EQ(seteuid(65534), 0);
  }
  const absl::Status status = FindConfig("").status();
  ASSERT_EQ(seteuid(user), 0);
  setenv("HOME", former_home.c_str(), 1);
  std::filesystem::permissions(home, std::filesystem::perms::owner_all);
  std::filesystem::remove_all(home);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(home + "/.npufleet/config.yaml (not readable by you: sudo?) or /etc"));
}

TEST_F(CtlTest, SpecValidateNeedsNoController) {
  std::string file = SpecFile(spec::FilledReferenceSpec());
  EXPECT_EQ(RunAlone({"spec", "validate", "-f", file}), ExitCode::kDone);
  EXPECT_THAT(out_, HasSubstr(": ok\nnote: ray start gets"));
  const std::string by_option = out_;
  EXPECT_EQ(RunAlone({"spec", "validate", file}), ExitCode::kDone) << err_;
  EXPECT_EQ(out_, by_option);
  EXPECT_EQ(RunAlone({"spec", "validate", "--resolved", file}), ExitCode::kDone) << err_;
  EXPECT_EQ(RunAlone({"spec", "validate"}), ExitCode::kUsage);
  EXPECT_THAT(err_, HasSubstr("--file is required"));
  EXPECT_EQ(RunAlone({"spec", "validate", "-f", file, file}), ExitCode::kUsage);
  EXPECT_EQ(RunAlone({"spec", "validate", file, file}), ExitCode::kUsage);
  EXPECT_EQ(RunAlone({"completion", "bash"}), ExitCode::kDone);
  EXPECT_THAT(out_, ContainsRegex("'ctl spec validate'[^\n]*files='-f --file "));
  input_ = spec::FilledReferenceSpec();
  EXPECT_EQ(RunAlone({"spec", "validate", "-"}), ExitCode::kDone);
  EXPECT_THAT(out_, StartsWith("stdin: ok\n"));
  input_ = spec::FilledReferenceSpec();
  EXPECT_EQ(RunAlone({"spec", "validate", "-f", "-"}), ExitCode::kDone);
  EXPECT_THAT(out_, StartsWith("stdin: ok\n"));
  EXPECT_EQ(RunAlone({"spec", "validate", "-f", ::testing::TempDir()}), ExitCode::kUsage);
  EXPECT_THAT(err_, HasSubstr(": is a directory"));
  EXPECT_EQ(RunAlone({"spec", "schema"}), ExitCode::kDone);
  EXPECT_EQ(out_, spec::ReadSourceFile("deploy/specs/deployment.schema.json"));
}

TEST_F(CtlTest, ReplayShowsTheRunAndNeedsNoController) {
  input_ =
      R"({"log":"npufleet events","version":1,"rollout":"qwen","epoch":1,"remarks":["seed 17"]}
{"time":1700000000000000,"kind":"SpecApplied","graph":{"revision":1,"tasks":[{"id":"driver@node-a","stage":"driver","node":"node-a","want":"w"}]},"commands":[]}
{"time":1700000000000000,"kind":"Remark","text":"!! lose node-a"}
{"time":1700000012345000,"kind":"NodeConnected","node":"node-a","bootId":"b1","hostsController":true,"commands":[]}
)";
  EXPECT_EQ(RunAlone({"rollout", "replay", "-"}), ExitCode::kDone) << err_;
  EXPECT_EQ(
      out_,
      "qwen  epoch 1  3 lines in 12s\n"
      "  seed 17\n"
      "\n"
      "SECONDS  WHAT             SUBJECT        DETAIL\n"
      " 0.000   SpecApplied                     revision 1, 1 task\n"
      "           SpecApplied                   revision 1\n"
      " 0.000   Remark                          !! lose node-a\n"
      "12.345   NodeConnected    node-a         boot b1, the controller's own node\n"
      "           NodeConnected  node-a         node-a is connected\n"
      "           > check        driver@node-a\n"
      "           != nothing\n"
      "\n"
      "at the end progressing: driver@node-a: checking\n"
      "\n"
      "TASK           WHY IT IS NOT CURRENT\n"
      "driver@node-a  checking\n"
      "\n"
      "note: 1 event had another outcome in the log, which stands behind !=: it was written by "
      "another version\n");
  EXPECT_EQ(RunAlone({"rollout", "replay", "-", "-o", "json"}), ExitCode::kDone) << err_;
  const auto json = nlohmann::json::parse(out_);
  EXPECT_EQ(json["phase"], "PROGRESSING");
  EXPECT_EQ(json["entries"][2]["time"], "2023-11-14T22:13:32.345Z");
  EXPECT_EQ(json["entries"][2]["commands"][0]["command"], "CheckTask");
  EXPECT_EQ(json["entries"][2]["recorded"].size(), 0u);
  EXPECT_EQ(json["open"][0]["task"], "driver@node-a");
  EXPECT_EQ(RunAlone({"rollout", "replay", "-", "-o", "yaml"}), ExitCode::kDone) << err_;
  EXPECT_THAT(out_, HasSubstr("\nphase: \"PROGRESSING\"\n"));
}

TEST_F(CtlTest, ReplayOfABadFileNamesTheLine) {
  const std::string file = SpecFile(
      "{\"log\":\"npufleet events\",\"version\":1,\"rollout\":\"qwen\",\"epoch\":1}\n"
      "{\"time\":\"now\",\"kind\":\"Loaded\"}\n");
  EXPECT_EQ(RunAlone({"rollout", "replay", file}), ExitCode::kUsage);
  EXPECT_EQ(err_, absl::StrCat(file, ":2: time: must be a whole number, but is string\n"));
  EXPECT_EQ(out_, "");
  input_ = "\x1b[2J";
  EXPECT_EQ(RunAlone({"rollout", "replay", "-"}), ExitCode::kUsage);
  EXPECT_THAT(err_, HasSubstr("stdin:1: no JSON"));
  EXPECT_THAT(err_, Not(HasSubstr("\x1b")));
  EXPECT_EQ(RunAlone({"rollout", "replay", "/nowhere.events"}), ExitCode::kUsage);
  EXPECT_EQ(err_, "/nowhere.events: cannot be read: No such file or directory\n");
  EXPECT_EQ(RunAlone({"rollout", "replay"}), ExitCode::kUsage);
}

TEST_F(CtlTest, CompletionKnowsAllCommands) {
  const std::vector<std::vector<std::string>> commands = AllCommands();
  for (const char* shell : {"bash", "zsh"}) {
    EXPECT_EQ(RunAlone({"completion", shell}), ExitCode::kDone);
    for (const std::vector<std::string>& command : commands)
      EXPECT_THAT(out_, HasSubstr(absl::StrCat("'ctl ", absl::StrJoin(command, " "), "')")));
  }
  EXPECT_EQ(RunAlone({"completion", "fish"}), ExitCode::kDone);
  for (const std::vector<std::string>& command : commands)
    EXPECT_THAT(out_, HasSubstr(absl::StrCat("' -a ", command.back(), " -d '")));
  EXPECT_EQ(RunAlone({"completion", "tcsh"}), ExitCode::kUsage);
}

TEST_F(CtlTest, BashCompletes) {
  EXPECT_EQ(RunAlone({"completion", "bash"}), ExitCode::kDone);
  // Each line is what TAB offers behind `ctl` and these words.
  const std::string file = SpecFile(absl::StrCat(out_, R"(
offer() { COMP_WORDS=(ctl "$@"); COMP_CWORD=$#; COMPREPLY=(); _ctl; echo "${COMPREPLY[*]}"; }
offer roll
offer rollout st
offer rollout status --con
offer rollout status -o ''
offer -o json rollout un
offer node list --output y
offer completion ''
offer rollout apply -f /etc/host
offer rollout logs q driver@node-a --fo
offer --insec
)"));
  FILE* bash = popen(absl::StrCat("bash ", file).c_str(), "r");
  ASSERT_NE(bash, nullptr);
  std::string offered;
  char buffer[1024];
  while (fgets(buffer, sizeof(buffer), bash) != nullptr) offered += buffer;
  EXPECT_EQ(pclose(bash), 0);
  const std::vector<std::string> lines = absl::StrSplit(offered, '\n');
  ASSERT_EQ(lines.size(), 11u) << offered;
  EXPECT_EQ(lines[0], "rollout");
  EXPECT_EQ(lines[1], "status");
  EXPECT_EQ(lines[2], "--config");
  EXPECT_EQ(lines[3], "table json yaml");
  EXPECT_EQ(lines[4], "undo");
  EXPECT_EQ(lines[5], "yaml");
  EXPECT_EQ(lines[6], "bash zsh fish");
  EXPECT_THAT(lines[7], HasSubstr("/etc/hosts"));
  EXPECT_EQ(lines[8], "--follow");
  EXPECT_EQ(lines[9], "");
}

TEST_F(CtlTest, ChatNeedsARolloutThatServes) {
  EXPECT_EQ(Run({"chat", "你是谁"}), ExitCode::kFailed);
  EXPECT_THAT(err_, HasSubstr("no rollout serves"));
  *controller_.rollouts.add_rollouts() = RolloutIn(v1::Rollout::SERVING, v1::Task::CURRENT);
  controller_.rollouts.mutable_rollouts(0)->set_endpoint("http://127.0.0.1:1");
  EXPECT_EQ(Run({"chat", "你是谁"}), ExitCode::kUnreachable);
}

}  // namespace
}  // namespace npufleet::ctl
