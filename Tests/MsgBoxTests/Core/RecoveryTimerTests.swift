import MsgBox
import Testing

@Suite("Loss recovery: probes", .transitions)
struct ProbeTests {
  @Test("Nothing outstanding, nothing due")
  func idle() {
    let flow = RecoveryFlow()
    #expect(flow.deadline == nil)
    flow.send()
    flow.ack(0...0)
    #expect(flow.deadline == nil)
  }

  @Test("A probe timeout runs from the newest datagram, and from a sample if there is one")
  func timeoutTime() {
    let flow = RecoveryFlow()
    flow.send()
    #expect(flow.deadline == 1_009_000)
    flow.go(to: 500)
    flow.send()
    #expect(flow.deadline == 1_509_000)
    flow.recovery.sampleRoundTrip(.milliseconds(100))
    #expect(flow.deadline == 810_000)
  }

  @Test("The oldest two are sent again and stay outstanding, even when the window is full")
  func probe() {
    let flow = RecoveryFlow(roundTrip: 100)
    #expect(flow.sendAll() == 10)
    flow.go(to: 110)
    flow.timeout()
    #expect(flow.lost() == [])
    flow.go(to: 111)
    flow.timeout()
    #expect(flow.lost() == [0, 1])
    #expect(flow.recovery.probesOwed == 2)
    #expect(flow.recovery.pacedUntil(at: flow.now) == nil)
    #expect(flow.recovery.outstanding == 10)
    #expect(flow.recovery.window == 12_000)
    #expect(flow.sendAll() == 2)
    #expect(flow.recovery.bytesInFlight == 14_400)
    #expect(flow.recovery.lostCount == 0)
  }

  @Test("No probe is owed once something came through")
  func noLongerOwed() {
    let flow = RecoveryFlow(roundTrip: 100)
    flow.send(10)
    flow.go(to: 111)
    flow.timeout()
    #expect(flow.recovery.probesOwed == 2)
    flow.ack(0...0)
    #expect(flow.recovery.probesOwed == 0)
    #expect(flow.sendAll() == 2)
  }

  @Test("One is owed for one; what was probed is not probed again, but its copy is")
  func copies() {
    let flow = RecoveryFlow(roundTrip: 100)
    flow.send()
    for round in 0..<4 {
      flow.now = flow.recovery.deadline ?? flow.now
      flow.timeout()
      #expect(flow.lost() == [UInt32(round)])
      #expect(flow.recovery.probesOwed == 1)
      flow.send()
    }
    #expect(flow.recovery.outstanding == 5)
    flow.ack(4...4)
    // The others are lost by number or by age; what they carried went with the copies.
    #expect(flow.lost() == [])
    #expect(flow.recovery.lostCount == 4)
    #expect(flow.acked() == [4])
  }

  @Test("A lost copy is sent again")
  func lostCopy() {
    let flow = RecoveryFlow(roundTrip: 100)
    flow.send()
    flow.go(to: 111)
    flow.timeout()
    #expect(flow.lost() == [0])
    flow.send(4)
    flow.ack(4...4)
    #expect(flow.lost() == [1])
  }

  @Test("If all was probed, one datagram is still owed, if only its number")
  func emptyProbe() {
    let flow = RecoveryFlow(roundTrip: 100)
    flow.send()
    for _ in 0..<3 {
      flow.now = flow.recovery.deadline ?? flow.now
      flow.timeout()
      _ = flow.lost()
    }
    #expect(flow.recovery.probesOwed == 1)
    flow.recovery.sent(bytes: 30, isLimitedByApplication: true, at: flow.now)
    #expect(flow.recovery.probesOwed == 0)
    flow.ack(1...1)
    #expect(flow.acked() == [])
    #expect(flow.recovery.outstanding == 0)
    #expect(flow.recovery.lostCount == 1)
  }

  @Test("Each waits twice as long, up to two seconds, until something is acknowledged")
  func backoff() {
    let flow = RecoveryFlow(roundTrip: 100)
    flow.send(2)
    var waits: [UInt64] = []
    for _ in 0..<7 {
      let before = flow.now
      flow.now = flow.recovery.deadline ?? flow.now
      waits.append(flow.now.since(before).nanoseconds / 1_000_000)
      flow.timeout()
      flow.send(flow.recovery.probesOwed)
    }
    #expect(waits == [111, 222, 444, 888, 1776, 2000, 2000])
    let sent = flow.now
    flow.ack(1...1)
    #expect(flow.recovery.probesOwed == 0)
    #expect(flow.recovery.deadline.map { $0 <= sent + .milliseconds(2000) } == true)
    flow.send()
    flow.ack(UInt32(flow.recovery.nextNumber - 1)...UInt32(flow.recovery.nextNumber - 1))
    flow.send()
    #expect(flow.recovery.deadline.map { $0.since(flow.now) < .milliseconds(7000) } == true)
  }

  @Test("A round trip of more than two seconds is waited for")
  func longPath() {
    let flow = RecoveryFlow(roundTrip: 3000)
    flow.send()
    for _ in 0..<3 {
      #expect(flow.recovery.deadline == flow.now + .milliseconds(3011))
      flow.now = flow.recovery.deadline ?? flow.now
      flow.timeout()
      flow.send(flow.recovery.probesOwed)
    }
  }

  @Test("A loop that was not entered for long sends one round of probes, not one for each timeout")
  func stalledLoop() {
    let flow = RecoveryFlow(roundTrip: 100)
    flow.send(4)
    flow.go(to: 60_000)
    flow.timeout()
    #expect(flow.lost() == [0, 1])
    flow.timeout()
    #expect(flow.lost() == [])
    #expect(flow.deadline == 60_222_000)
  }
}

@Suite("Loss recovery: when to send")
struct RecoverySendTests {
  @Test("The window is filled, not overfilled")
  func window() {
    var flow = RecoveryFlow()
    #expect(flow.sendAll() == 10)
    flow = RecoveryFlow()
    #expect(flow.sendAll(bytes: 1000) == 11)
    flow.ack(0...0)
    #expect(flow.recovery.bytesInFlight == 10_000)
    #expect(flow.recovery.window == 13_000)
    #expect(flow.sendAll(bytes: 1000) == 2)
  }

  @Test("Without a sample the pacer holds nothing back; with one it says until when")
  func pacing() {
    let flow = RecoveryFlow()
    #expect(flow.sendAll() == 10)
    #expect(flow.recovery.pacedUntil(at: flow.now) == nil)
    flow.go(to: 100)
    flow.ack(0...9)
    #expect(flow.recovery.window == 24_000)
    #expect(flow.sendAll() == 10)
    // 1.25 x 24000 bytes in 100 ms: a datagram in 4 ms.
    #expect(flow.microseconds(flow.recovery.pacedUntil(at: flow.now)) == 104_000)
    flow.go(to: 104)
    #expect(flow.recovery.pacedUntil(at: flow.now) == nil)
    #expect(flow.sendAll() == 1)
    #expect(flow.microseconds(flow.recovery.pacedUntil(at: flow.now)) == 108_000)
    flow.go(to: 150)
    #expect(flow.sendAll() == 9)
    #expect(flow.recovery.pacedUntil(at: flow.now) == nil)
  }

  @Test("The window does not grow while the application limits what is sent")
  func limitedByApplication() {
    let flow = RecoveryFlow()
    flow.send(9)
    flow.send(isLimited: true)
    flow.ack(0...4)
    #expect(flow.recovery.window == 12_000)
    flow.send()
    flow.ack(0...9)
    #expect(flow.recovery.window == 18_000)
  }

  @Test("Nor while less than half of it is used", arguments: [(4, 12_000), (5, 18_000)])
  func unused(count: Int, window: Int) {
    let flow = RecoveryFlow()
    flow.send(count)
    flow.ack(0...UInt32(count - 1))
    #expect(flow.recovery.window == window)
  }

  @Test("What is remembered is bounded, and given back when it was much")
  func memory() {
    let flow = RecoveryFlow(roundTrip: 100)
    flow.send(3000)
    flow.go(to: 100)
    flow.ack(2999...2999)
    #expect(flow.lost().count == 2997)
    #expect(flow.recovery.remembered == 2 + LossRecovery.rememberedMost)
    flow.ack(2997...2999)
    #expect(flow.recovery.outstanding == 0)
    // Lost datagrams may still be acknowledged; then nothing is due any more.
    #expect(flow.deadline == 433_000)
    flow.go(to: 433)
    flow.timeout()
    #expect(flow.recovery.remembered == 0)
    #expect(flow.deadline == nil)
    flow.send(3)
    flow.ack(3000...3002)
    #expect(flow.acked().suffix(3) == [3000, 3001, 3002])
    // The little that is remembered now is worth no wake-up.
    flow.send(4)
    flow.ack(3004...3006)
    #expect(flow.recovery.remembered == 4)
    #expect(flow.deadline == nil)
  }
}
