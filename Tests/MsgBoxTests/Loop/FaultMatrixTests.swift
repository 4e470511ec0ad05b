import CMsgBox
import Foundation
import MsgBox
import Testing

/// Every system call fails in turn, at its n-th time, with each error that it can give. `make faults` runs all of it in a
/// process of its own, where descriptors and memory can be counted; the tests run a part.
@Suite(.serialized) struct FaultMatrixTests {
  private static let isAlone = environmentNumber("MSGBOX_FAULTS") == 1

  private static let scenarios = isAlone ? FaultScenario.all : Array(FaultScenario.all.prefix(2))

  @Test("No trap, no leak, and the guarantees hold", arguments: scenarios)
  func everyCall(scenario: FaultScenario) throws {
    try withFaults {
      #expect(scenario.run() == [])
      let counts = FaultCall.all.map { min(cmsgbox_fault_calls($0.number), 40) }
      _ = cmsgbox_fault_clear()
      var (cases, failures) = (0, 0)
      for (call, count) in zip(FaultCall.all, counts) where count > 0 {
        for fault in faults(call, count) where failures < 10 {
          guard let broken = run(scenario, fault) else { continue }
          cases += 1
          if broken.isEmpty { continue }
          failures += 1
          Issue.record("\(fault): \(broken)")
        }
      }
      print("faults over \(scenario.testDescription): \(cases) cases")
      #expect(cases > (Self.isAlone ? 300 : 10))
    }
  }

  @Test("Each kind of call is made in some scenario, and has its errors")
  func everyKind() throws {
    #expect(FaultCall.all.map(\.number).sorted() == Array(0..<Int32(CMSGBOX_CALLS)))
    #expect(FaultCall.all.allSatisfy { !$0.errors.isEmpty })
    try withFaults {
      var counts = FaultCall.all.map { _ in UInt64(0) }
      for scenario in FaultScenario.all {
        #expect(scenario.run() == [])
        for (place, call) in FaultCall.all.enumerated() {
          counts[place] += UInt64(cmsgbox_fault_calls(call.number))
        }
        _ = cmsgbox_fault_clear()
      }
      for (call, count) in zip(FaultCall.all, counts) {
        #expect(count > 0, "\(call.name) is never made")
      }
    }
  }

  /// At each of its calls, once; and from its first or third on, for good. Beside other tests only the first call, with
  /// one error.
  private func faults(_ call: FaultCall, _ count: UInt32) -> [FaultCase] {
    call.errors.enumerated().flatMap { place, error in
      let once = (0..<count).map { FaultCase(call: call, error: error, after: $0, times: 1) }
      // A call that is only interrupted is made again, without end.
      let forGood =
        error == EINTR
        ? [] : [0, 2].map { FaultCase(call: call, error: error, after: $0, times: .max) }
      return Self.isAlone ? once + forGood : place == 0 ? Array(once.prefix(1)) : []
    }
  }

  /// What broke; nil if the call was not made that often.
  private func run(_ scenario: FaultScenario, _ fault: FaultCase) -> [String]? {
    var broken: [String] = []
    // What a run leaves in caches, or to threads that have yet to end, is no leak; what each run leaves is.
    for attempt in 1...8 {
      let before = Holdings.now
      _ = cmsgbox_fault_set(fault.call.number, fault.after, fault.times, fault.error, 0)
      // Beside other tests the time may not be enough for all to arrive.
      broken = scenario.run(isWhole: fault.isHarmless && Self.isAlone)
      if cmsgbox_fault_clear() == 0 { return nil }
      guard Self.isAlone else { return broken }
      if !broken.isEmpty {
        if attempt < 3 && fault.isHarmless { continue }
        return broken
      }
      let after = Holdings.now
      if after.descriptors > before.descriptors {
        return ["\(after.descriptors - before.descriptors) descriptors are left open"]
      }
      if after.bytes <= before.bytes { return [] }
      if attempt == 8 { return ["\(after.bytes - before.bytes) bytes are left"] }
    }
    return broken
  }
}

/// What the process holds.
private struct Holdings {
  var descriptors: Int
  var bytes: Int

  static var now: Holdings {
    let entries = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")
    return Holdings(descriptors: entries?.count ?? 0, bytes: Int(cmsgbox_fault_heap()))
  }
}
