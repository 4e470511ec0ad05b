import MsgBox
import Testing

@Suite("Round trips")
struct RoundTripTests {
  @Test("Until there is a sample, 333 ms are supposed")
  func initial() {
    let trip = RoundTrip()
    #expect(!trip.isSampled)
    #expect(trip.smoothed == .milliseconds(333))
    #expect(trip.variation == .microseconds(166_500))
    #expect(trip.probeTimeout == .milliseconds(333 + 666 + 10))
  }

  @Test("The first sample is the average, half of it the variation")
  func first() {
    var trip = RoundTrip()
    trip.sample(.milliseconds(100), ackDelay: .milliseconds(10))
    #expect(trip.isSampled)
    #expect(trip.latest == .milliseconds(100))
    #expect(trip.least == .milliseconds(100))
    #expect(trip.smoothed == .milliseconds(100))
    #expect(trip.variation == .milliseconds(50))
    #expect(trip.probeTimeout == .milliseconds(100 + 200 + 10))
    #expect(trip.lossDelay == .microseconds(112_500))
  }

  @Test("A sample counts an eighth, without what the peer spent")
  func second() {
    var trip = RoundTrip()
    trip.sample(.milliseconds(100))
    trip.sample(.milliseconds(140), ackDelay: .milliseconds(5))
    // |100 - 135| = 35, (3 x 50 + 35) / 4 and (7 x 100 + 135) / 8.
    #expect(trip.variation == .microseconds(46_250))
    #expect(trip.smoothed == .microseconds(104_375))
    #expect(trip.latest == .milliseconds(140))
    #expect(trip.least == .milliseconds(100))
    #expect(trip.probeTimeout == .microseconds(104_375 + 185_000 + 10_000))
    #expect(trip.lossDelay == .microseconds(157_500))
  }

  @Test(
    "A peer is believed at most 10 ms of delay, and none that would undercut the least sample",
    arguments: [(140, 50, 103_750), (110, 10, 100_000), (109, 10, 101_125)])
  func delays(sample: UInt64, delay: UInt64, smoothed: UInt64) {
    var trip = RoundTrip()
    trip.sample(.milliseconds(100))
    trip.sample(.milliseconds(sample), ackDelay: .milliseconds(delay))
    // (700 + 140 - 10) / 8, (700 + 110 - 10) / 8 and (700 + 109) / 8.
    #expect(trip.smoothed == .microseconds(smoothed))
  }

  @Test("The least sample is forgotten when it is told")
  func least() {
    var trip = RoundTrip()
    trip.sample(.milliseconds(100))
    trip.sample(.milliseconds(80))
    trip.sample(.milliseconds(90))
    #expect(trip.least == .milliseconds(80))
    trip.forgetLeast()
    trip.sample(.milliseconds(95))
    trip.sample(.milliseconds(99))
    #expect(trip.least == .milliseconds(95))
  }

  @Test("No sample is too short or too long")
  func limits() {
    var trip = RoundTrip()
    trip.sample(Interval(nanoseconds: 0), ackDelay: Interval(nanoseconds: .max))
    #expect(trip.lossDelay == RoundTrip.granularity)
    #expect(trip.probeTimeout == .milliseconds(1 + 10))
    for _ in 0..<100 { trip.sample(Interval(nanoseconds: .max), ackDelay: .milliseconds(3)) }
    #expect(trip.latest == .seconds(60))
    #expect(trip.smoothed <= .seconds(60))
    #expect(trip.probeTimeout <= .seconds(300))
  }
}

@Suite("The timer of requests")
struct ReplyTimerTests {
  @Test("200 ms until measured, doubled for each attempt, at most a minute")
  func unmeasured() {
    var timer = ReplyTimer()
    let waits = (0..<10).map { timer.timeout(attempt: $0) }
    #expect(Array(waits[..<4]) == [200, 400, 800, 1600].map(Interval.milliseconds))
    #expect(waits[8] == .milliseconds(51_200))
    #expect(waits[9] == .seconds(60))
    #expect(timer.timeout(attempt: .max) == .seconds(60))
  }

  @Test("The average and four variations, after RFC 6298")
  func measured() {
    var timer = ReplyTimer()
    timer.sample(.milliseconds(100))
    #expect(timer.timeout(attempt: 0) == .milliseconds(300))
    timer.sample(.milliseconds(140))
    // (3 x 50 + 40) / 4 = 47.5 and (7 x 100 + 140) / 8 = 105.
    #expect(timer.timeout(attempt: 0) == .milliseconds(105 + 190))
  }

  @Test("At least 20 ms", arguments: [(6, 20_000), (7, 21_000)])
  func least(sample: UInt64, wait: UInt64) {
    var timer = ReplyTimer()
    timer.sample(.milliseconds(sample))
    #expect(timer.timeout(attempt: 0) == .microseconds(wait))
  }

  @Test("Later requests keep two doublings, until one that was sent once is answered")
  func keptBackoff() {
    var timer = ReplyTimer()
    timer.sample(.milliseconds(100))
    #expect(timer.firstAttempt == 0)
    _ = timer.timeout(attempt: 0)
    _ = timer.timeout(attempt: 1)
    #expect(timer.timeout(attempt: 2) == .milliseconds(1200))
    #expect(timer.timeout(attempt: 5) == .milliseconds(9600))
    #expect(timer.firstAttempt == 2)
    #expect(timer.timeout(attempt: 0) == .milliseconds(300))
    #expect(timer.timeout(attempt: timer.firstAttempt + 1) == .milliseconds(2400))
    timer.sample(.milliseconds(100))
    #expect(timer.firstAttempt == 0)
    // The variation is now (3 x 50 + 0) / 4.
    #expect(timer.timeout(attempt: 0) == .microseconds(100_000 + 150_000))
  }

  @Test("Samples of any length")
  func limits() {
    var timer = ReplyTimer()
    for _ in 0..<10 { timer.sample(Interval(nanoseconds: .max)) }
    #expect(timer.timeout(attempt: 0) == .seconds(60))
    for _ in 0..<200 { timer.sample(Interval(nanoseconds: 0)) }
    #expect(timer.timeout(attempt: 0) == .milliseconds(20))
  }
}
