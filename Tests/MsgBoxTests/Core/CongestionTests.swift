import MsgBox
import Testing

@Suite("The congestion window")
struct NewRenoTests {
  @Test("It begins at ten datagrams and grows by what is acknowledged")
  func slowStart() {
    var reno = NewReno()
    #expect(reno.window == 12_000)
    #expect(reno.isInSlowStart)
    reno.acknowledge(1200)
    reno.acknowledge(100)
    #expect(reno.window == 13_300)
  }

  @Test("A loss halves it; then it grows by a datagram for each window")
  func avoidance() {
    var reno = NewReno()
    #expect(reno.lose(3, next: 10) == true)
    #expect(reno.window == 6000)
    #expect(!reno.isInSlowStart)
    for _ in 0..<4 { reno.acknowledge(1200) }
    reno.acknowledge(1199)
    #expect(reno.window == 6000)
    reno.acknowledge(1)
    #expect(reno.window == 7200)
    for _ in 0..<6 { reno.acknowledge(1200) }
    #expect(reno.window == 8400)
  }

  @Test("What was sent before a reduction does not reduce it again")
  func recovery() {
    var reno = NewReno()
    #expect(reno.lose(3, next: 10) == true)
    #expect(reno.lose(9, next: 12) == false)
    #expect(reno.window == 6000)
    #expect(reno.lose(10, next: 12) == true)
    #expect(reno.window == 3000)
    #expect(reno.recoveryEnd == 12)
  }

  @Test("Never less than two datagrams")
  func least() {
    var reno = NewReno()
    for number in 0..<20 { _ = reno.lose(UInt64(number), next: UInt64(number) + 1) }
    #expect(reno.window == 2400)
    #expect(reno.threshold == 2400)
  }

  @Test("After persistent congestion it is two datagrams and grows fast to half of what it was")
  func collapse() {
    var reno = NewReno()
    #expect(reno.lose(3, next: 10) == true)
    reno.collapse()
    #expect(reno.window == 2400)
    #expect(reno.isInSlowStart)
    reno.acknowledge(3600)
    #expect(reno.window == 6000)
    #expect(!reno.isInSlowStart)
    #expect(reno.lose(4, next: 10) == true)
  }
}

@Suite("The pacer")
struct PacerTests {
  let start = Instant(nanoseconds: 5_000_000_000)

  @Test("Ten datagrams at once, then one and a quarter windows in a round trip")
  func rate() {
    var pacer = Pacer(now: start)
    let window = 120_000
    let trip = Interval.milliseconds(100)
    #expect(drain(&pacer, at: start, window, trip) == 10)
    // 150000 bytes in 100 ms: a datagram in 0.8 ms.
    #expect(pacer.opens(window: window, smoothed: trip) == start + .microseconds(800))
    let early = start + Interval(nanoseconds: 799_999)
    #expect(!pacer.allows(at: early, window: window, smoothed: trip))
    #expect(drain(&pacer, at: start + .microseconds(800), window, trip) == 1)
    #expect(drain(&pacer, at: start + .milliseconds(8), window, trip) == 9)
    #expect(drain(&pacer, at: start + .seconds(9), window, trip) == 10)
  }

  @Test("The bucket holds 4 ms, so that a short path is not limited by when the loop wakes")
  func shortPath() {
    var pacer = Pacer(now: start)
    // 75000 bytes in a millisecond.
    let trip = Interval.milliseconds(1)
    #expect(drain(&pacer, at: start, 60_000, trip) == 10)
    #expect(drain(&pacer, at: start + .milliseconds(4), 60_000, trip) == 250)
    #expect(drain(&pacer, at: start + .seconds(4), 60_000, trip) == 250)
  }

  @Test("Asking often rounds nothing away")
  func rounding() {
    var pacer = Pacer(now: start)
    let trip = Interval.milliseconds(333)
    _ = drain(&pacer, at: start, 12_000, trip)
    var sent = 0
    for step in 1...333_000 {
      let now = start + .microseconds(UInt64(step))
      guard pacer.allows(at: now, window: 12_000, smoothed: trip) else { continue }
      pacer.sent(1200, at: now, window: 12_000, smoothed: trip)
      sent += 1
    }
    #expect(sent == 12)
  }

  @Test("Probes make a debt, of at most ten datagrams")
  func debt() {
    var pacer = Pacer(now: start)
    let trip = Interval.milliseconds(100)
    for _ in 0..<100 { pacer.sent(1200, at: start, window: 12_000, smoothed: trip) }
    // 11 datagrams at 15000 bytes in 100 ms.
    #expect(pacer.opens(window: 12_000, smoothed: trip) == start + .milliseconds(88))
  }

  @Test("No rate and no time traps")
  func limits() {
    var pacer = Pacer(now: Instant(nanoseconds: .max))
    for window in [0, 1, 2400, 1 << 50] {
      for trip in [Interval(nanoseconds: 0), .seconds(60)] {
        for now in [Instant(nanoseconds: 0), Instant(nanoseconds: .max)] {
          pacer.sent(65_535, at: now, window: window, smoothed: trip)
          _ = pacer.allows(at: now, window: window, smoothed: trip)
          #expect(pacer.opens(window: window, smoothed: trip) > Instant(nanoseconds: 0))
        }
      }
    }
  }

  /// Sends what the pacer allows.
  private func drain(_ pacer: inout Pacer, at now: Instant, _ window: Int, _ trip: Interval) -> Int
  {
    var count = 0
    while pacer.allows(at: now, window: window, smoothed: trip), count < 1000 {
      pacer.sent(1200, at: now, window: window, smoothed: trip)
      count += 1
    }
    return count
  }
}
