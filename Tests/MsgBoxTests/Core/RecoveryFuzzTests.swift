import MsgBox
import Testing

@Suite("Loss recovery: random acknowledgements")
struct RecoveryFuzzTests {
  @Test("Each datagram is in flight, lost or acknowledged, whatever is acknowledged")
  func acknowledgements() {
    var model = RecoveryModel(seed: 7, firstNumber: (1 << 32) - 40_000)
    for step in 0..<100_000 {
      guard let wrong = model.step() else { continue }
      Issue.record("step \(step): \(wrong)")
      return
    }
    let wrong = model.finish()
    #expect(wrong == nil)
    // The numbers wrapped, and everything happened often.
    #expect(model.counts.sent > 50_000)
    #expect(model.counts.lost > 1000)
    #expect(model.lateCount > 1000)
    #expect(model.probeCount > 1000)
    #expect(model.refusedCount > 1000)
  }
}
