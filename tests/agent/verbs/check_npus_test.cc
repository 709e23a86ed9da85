// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/check_npus/check_npus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/failure.h"
#include "tests/fakes/fake_execution.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::verbs {
namespace {

using ::testing::HasSubstr;

std::string Table(int chips) {
  std::string text =
      "| npu-smi 25.0.rc1                 Version: 25.0.rc1 |\n"
      "| NPU   Name | Health | Power(W) Temp(C) Hugepages-Usage(page)|\n"
      "| Chip | Bus-Id | AICore(%) Memory-Usage(MB) HBM-Usage(MB) |\n";
  for (int i = 0; i < chips; ++i) {
    absl::StrAppend(&text, "| ", i, " 910B3 | OK | 92.0 39 0 / 0 |\n| 0 | 0000:C", i,
                    ":00.0 | 0 0 / 0 3314 / 65536 |\n");
  }
  return absl::StrCat(text, "+====+\n");
}

class CheckNpusTest : public ::testing::Test {
 protected:
  CheckNpusTest() {
    for (int i = 0; i < 2; ++i) want_.add_chips(i);
    subject_.set_task("npu@node-b");
    node_.programs().On({"npu-smi", "info"}, Table(2));
  }
  std::unique_ptr<Verb> Make() { return *MakeCheckNpus(want_, subject_, node_.host()); }

  fakes::FakeHost node_;
  v1::CheckNpus want_;
  v1::Subject subject_;
};

TEST_F(CheckNpusTest, TheTokenIsIdsAndNames) {
  EXPECT_EQ(Make()->Check().state(), v1::Observation::PRESENT);
  EXPECT_EQ(Make()->Check().token(), "0:910B3 1:910B3");
}

TEST_F(CheckNpusTest, AMissingChipIsUnknownAtFirstAndHardwareLater) {
  node_.programs().On({"npu-smi", "info"}, Table(1));
  node_.system().SetUptime(absl::Minutes(3));
  EXPECT_EQ(Make()->Check().state(), v1::Observation::UNKNOWN);
  node_.system().SetUptime(absl::Minutes(11));
  v1::Observation seen = Make()->Check();
  EXPECT_EQ(seen.state(), v1::Observation::ABSENT);
  EXPECT_EQ(seen.failure().class_(), v1::Failure::HARDWARE);
  EXPECT_THAT(seen.failure().symptom(), HasSubstr("node-b: 1 of 2 chips are missing: 1"));
}

TEST_F(CheckNpusTest, ADriverThatIsNotReadyIsUnknownAtFirst) {
  node_.system().SetUptime(absl::Minutes(1));
  node_.programs().On({"npu-smi", "info"}, "dcmi module initialize failed. ret is -8005\n", "",
                      187);
  v1::Observation seen = Make()->Check();
  EXPECT_EQ(seen.state(), v1::Observation::UNKNOWN);
  EXPECT_THAT(seen.reason(), HasSubstr("-8005"));
}

TEST_F(CheckNpusTest, AToolThatHangsSaysNothingAboutTheChips) {
  node_.programs().On(
      {"npu-smi", "info"},
      [](const fakes::FakeSubprocess::Call&) -> absl::StatusOr<host::ProcessResult> {
        return absl::DeadlineExceededError("killed");
      });
  EXPECT_EQ(Make()->Check().state(), v1::Observation::UNKNOWN);
}

TEST_F(CheckNpusTest, WithoutAToolTheDriverIsGone) {
  node_.programs().Forget({"npu-smi", "info"});
  EXPECT_EQ(Make()->Check().failure().redo_stage(), "driver");
}

TEST_F(CheckNpusTest, ApplyWaitsForTheChips) {
  node_.system().SetUptime(absl::Minutes(1));
  int calls = 0;
  node_.programs().On(
      {"npu-smi", "info"},
      [&](const fakes::FakeSubprocess::Call&) -> absl::StatusOr<host::ProcessResult> {
        return host::ProcessResult{0, Table(++calls < 4 ? 1 : 2), "", false};
      });
  fakes::FakeExecution execution(node_.host());
  EXPECT_TRUE(Make()->Apply(execution).ok());
  EXPECT_EQ(calls, 4);
}

TEST_F(CheckNpusTest, ApplyEndsWhenItIsCancelled) {
  node_.system().SetUptime(absl::Minutes(1));
  node_.programs().On({"npu-smi", "info"}, Table(1));
  fakes::FakeExecution execution(node_.host());
  execution.questions_until_cancel = 3;
  EXPECT_TRUE(absl::IsCancelled(Make()->Apply(execution)));
}

}  // namespace
}  // namespace npufleet::verbs
