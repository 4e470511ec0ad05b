import MsgBox
import Testing

@Suite("The guarantees hold in every random schedule", .transitions)
struct PropertyTests {
  /// Of each test; MSGBOX_SCHEDULES sets another number, MSGBOX_SEED runs one seed alone.
  private static let schedules = environmentNumber("MSGBOX_SCHEDULES") ?? 2500
  private static let seed = environmentNumber("MSGBOX_SEED")

  @Test("Over UDP")
  func datagrams() { run(.udp, from: 0) }

  @Test("Over TCP")
  func streams() { run(.tcp, from: 1_000_000) }

  @Test("Over both at once, one half", arguments: [2_000_000, 3_000_000])
  func both(first: Int) { run(nil, from: first) }

  @Test("The same seed gives the same schedule, event by event")
  func repeatable() {
    for seed in UInt64(1)...20 {
      var first = RandomSchedule(seed: seed, transport: nil)
      var second = RandomSchedule(seed: seed, transport: nil)
      first.isRecording = true
      second.isRecording = true
      #expect(first.run().isEmpty && second.run().isEmpty)
      #expect(first.record == second.record, "seed \(seed)")
      #expect(!first.record.isEmpty)
    }
  }

  private func run(_ transport: Transport?, from first: Int) {
    let range = Self.seed.map { $0..<($0 + 1) } ?? first..<(first + Self.schedules)
    var failures = 0
    for seed in range where failures < 3 {
      var schedule = RandomSchedule(seed: UInt64(seed), transport: transport)
      if !schedule.run().isEmpty { failures += 1 }
    }
    #expect(failures == 0)
  }
}
