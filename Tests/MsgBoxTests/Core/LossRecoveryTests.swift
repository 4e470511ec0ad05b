import MsgBox
import Testing

@Suite("Loss recovery: acknowledgements", .transitions)
struct RecoveryAckTests {
  @Test("What is acknowledged is no longer in flight and gives its frames back once")
  func acknowledged() {
    let flow = RecoveryFlow()
    flow.send(5, bytes: 1000)
    #expect(flow.recovery.bytesInFlight == 5000)
    flow.go(to: 100)
    #expect(flow.ack(4...4, 1...2))
    #expect(flow.acked() == [4, 1, 2])
    #expect(flow.recovery.outstanding == 1)
    #expect(flow.recovery.bytesInFlight == 1000)
    #expect(flow.ack(4...4, 0...2))
    #expect(flow.acked() == [0])
    #expect(flow.lost() == [0])
    #expect(flow.recovery.sentCount == 5)
  }

  @Test("A datagram has any number of frames, in their order")
  func frames() {
    let flow = RecoveryFlow()
    for count in 0..<20 {
      for packet in 0..<count {
        flow.recovery.add(FrameRef(message: UInt32(count), packet: UInt16(packet)))
      }
      flow.recovery.sent(bytes: 500, isLimitedByApplication: false, at: flow.now)
    }
    #expect(flow.ack(19...19, 7...7))
    for expected in [19, 7] {
      for packet in 0..<expected {
        let frame = FrameRef(message: UInt32(expected), packet: UInt16(packet))
        #expect(flow.recovery.takeAcked() == frame)
      }
    }
    #expect(flow.recovery.takeAcked() == nil)
    // 17 and 18 are too near to 19.
    #expect(flow.lost().count == (0..<17).reduce(0, +) - 7)
  }

  @Test("The largest number gives a sample when it is acknowledged for the first time")
  func samples() {
    let flow = RecoveryFlow()
    flow.send(2)
    flow.go(to: 100)
    flow.ack(0...0)
    #expect(flow.recovery.roundTrip.latest == .milliseconds(100))
    flow.go(to: 150)
    flow.ack(0...0)
    #expect(flow.recovery.roundTrip.latest == .milliseconds(100))
    flow.go(to: 160)
    flow.ack(1...1, delay: 4)
    #expect(flow.recovery.roundTrip.latest == .milliseconds(160))
    #expect(flow.recovery.roundTrip.smoothed == .microseconds((700_000 + 156_000) / 8))
  }

  @Test("At another address everything begins anew, and all that is on its way is sent again")
  func movedToAnotherHost() {
    let flow = RecoveryFlow()
    flow.send(10)
    flow.go(to: 100)
    flow.ack(0...9)
    flow.send(8)
    flow.go(to: 3000)
    flow.recovery.moved(toOtherHost: true, at: flow.now)
    #expect(flow.lost() == Array(10..<18))
    #expect(flow.recovery.bytesInFlight == 0)
    #expect(flow.recovery.window == NewReno.initialWindow && !flow.recovery.roundTrip.isSampled)
    // An ack of what went to the old address tells nothing of the new path.
    flow.ack(17...17)
    #expect(!flow.recovery.roundTrip.isSampled && flow.recovery.window == NewReno.initialWindow)
    flow.send(5)
    flow.go(to: 3040)
    flow.ack(18...22)
    #expect(flow.recovery.roundTrip.smoothed == .milliseconds(40))
    #expect(flow.recovery.window == NewReno.initialWindow + 5 * 1200)
  }

  @Test("At another port of the same host the window and the round trip stay")
  func movedToAnotherPort() {
    let flow = RecoveryFlow()
    flow.send(10)
    flow.go(to: 100)
    flow.ack(0...9)
    let (window, smoothed) = (flow.recovery.window, flow.recovery.roundTrip.smoothed)
    flow.send(8)
    flow.go(to: 3000)
    flow.recovery.moved(toOtherHost: false, at: flow.now)
    #expect(flow.lost() == Array(10..<18))
    #expect(flow.recovery.window == window && flow.recovery.roundTrip.smoothed == smoothed)
    #expect(flow.recovery.deadline == nil && flow.recovery.probesOwed == 0)
    flow.ack(17...17)
    #expect(flow.recovery.roundTrip.smoothed == smoothed, "a second of silence is no round trip")
  }

  @Test("Numbers that were never sent are refused")
  func forged() {
    let flow = RecoveryFlow()
    #expect(!flow.ack(0...0))
    #expect(!flow.ack(UInt32.max...UInt32.max))
    flow.send(3)
    let unsent: [UInt32] = [3, 4, 1 << 20, 1 << 31, (1 << 31) + 2, (1 << 31) + 3, .max]
    for number in unsent {
      #expect(!flow.ack(number...number))
    }
    #expect(flow.recovery.outstanding == 3)
    #expect(flow.ack(2...2))
    #expect(flow.acked() == [2])
  }

  @Test("Ranges that wrap, overlap, come in another order or lie before the first number")
  func oddRanges() {
    let flow = RecoveryFlow()
    flow.send(10)
    flow.go(to: 50)
    #expect(flow.recovery.beginAck(largest: 8, delay: .milliseconds(0), at: flow.now) == true)
    flow.recovery.acknowledge(first: 9, last: 9)
    flow.recovery.acknowledge(first: 7, last: 8)
    flow.recovery.acknowledge(first: 6, last: 9)
    flow.recovery.acknowledge(first: 8, last: 8)
    flow.recovery.acknowledge(first: 2, last: 1)
    flow.recovery.acknowledge(first: 3, last: 3)
    flow.recovery.acknowledge(first: 4, last: 5)
    flow.recovery.acknowledge(first: UInt32.max - 5, last: UInt32.max)
    flow.recovery.acknowledge(first: UInt32.max - 5, last: 0)
    flow.recovery.endAck(at: flow.now)
    // 6...9 is cut to what is below 7; 4...5 is not below 3; the last one wraps below the first
    // number.
    #expect(flow.acked() == [7, 8, 6, 3, 0])
    #expect(flow.lost() == [1, 2, 4, 5])
    #expect(flow.recovery.outstanding == 1)
  }

  @Test("A range without a beginning acknowledges nothing")
  func noBeginning() {
    let flow = RecoveryFlow()
    flow.send(3)
    flow.recovery.acknowledge(first: 0, last: 2)
    flow.recovery.endAck(at: flow.now)
    #expect(flow.recovery.outstanding == 3)
    #expect(flow.recovery.roundTrip.isSampled == false)
  }

  @Test("Numbers wrap at 2^32")
  func wrap() {
    let flow = RecoveryFlow(firstNumber: (1 << 32) - 3)
    #expect(!flow.ack(0...0))
    flow.send(8)
    #expect(flow.recovery.nextNumber == (1 << 32) + 5)
    #expect(!flow.ack(5...5))
    #expect(!flow.ack((UInt32.max - 3)...(UInt32.max - 3)))
    #expect(flow.recovery.beginAck(largest: 3, delay: .milliseconds(0), at: flow.now) == true)
    flow.recovery.acknowledge(first: 3, last: 3)
    flow.recovery.acknowledge(first: UInt32.max - 1, last: 0)
    flow.recovery.endAck(at: flow.now)
    #expect(flow.acked() == [6, 1, 2, 3])
    #expect(flow.lost() == [0])
    #expect(flow.recovery.outstanding == 3)
  }
}

@Suite("Loss recovery: losses", .transitions)
struct RecoveryLossTests {
  @Test("Lost when three later ones came through, not when two did")
  func packetThreshold() {
    let flow = RecoveryFlow()
    flow.send(5)
    flow.ack(2...2)
    #expect(flow.lost() == [])
    flow.ack(3...3)
    #expect(flow.lost() == [0])
    flow.ack(4...4)
    #expect(flow.lost() == [1])
    #expect(flow.recovery.outstanding == 0)
    #expect(flow.recovery.lostCount == 2)
  }

  @Test("Lost when sent nine eighths of a round trip before, not earlier")
  func timeThreshold() {
    let flow = RecoveryFlow()
    flow.send(3)
    flow.go(to: 100)
    flow.ack(1...1)
    #expect(flow.deadline == 112_500)
    flow.go(to: 112)
    flow.timeout()
    #expect(flow.lost() == [])
    flow.now = flow.now + .microseconds(500)
    flow.timeout()
    #expect(flow.lost() == [0])
    #expect(flow.recovery.window == 6000)
    // The third is newer than all that came through: 100 + 4 x 50 + 10.
    #expect(flow.deadline == 310_000)
  }

  @Test("Losses of one round trip halve the window once")
  func oneReduction() {
    let flow = RecoveryFlow(roundTrip: 100)
    flow.send(10)
    flow.go(to: 100)
    flow.ack(3...3)
    #expect(flow.recovery.window == 6000)
    flow.ack(7...7, 3...3)
    #expect(flow.lost() == [0, 1, 2, 4])
    #expect(flow.recovery.window == 6000)
    flow.send(4)
    flow.go(to: 200)
    flow.ack(13...13)
    #expect(flow.recovery.window == 3000)
  }

  @Test("An acknowledgement that shows a loss, or is of the recovery, does not let the window grow")
  func noGrowthInRecovery() {
    var flow = RecoveryFlow(roundTrip: 100)
    flow.send(10)
    flow.go(to: 100)
    flow.ack(0...9)
    #expect(flow.recovery.window == 24_000)
    flow = RecoveryFlow(roundTrip: 100)
    flow.send(15)
    flow.go(to: 100)
    flow.ack(3...8)
    #expect(flow.recovery.window == 6000)
    flow.ack(3...14)
    #expect(flow.recovery.window == 6000)
    flow.send(5)
    flow.go(to: 200)
    flow.ack(15...18)
    #expect(flow.recovery.window == 6000)
    flow.ack(15...19)
    #expect(flow.recovery.window == 7200)
  }

  @Test("What is acknowledged after it was found lost counts, as long as it is remembered")
  func late() {
    let flow = RecoveryFlow(roundTrip: 100)
    flow.send(6)
    flow.go(to: 100)
    flow.ack(4...4)
    #expect(flow.lost() == [0, 1])
    // Three probe timeouts of 100 + 1 + 10 ms.
    flow.go(to: 100 + 332)
    flow.ack(4...4, 1...1)
    #expect(flow.acked() == [4, 1])
    flow.go(to: 100 + 333)
    flow.ack(4...4)
    flow.ack(4...4, 0...0)
    #expect(flow.acked() == [])
    #expect(flow.recovery.bytesInFlight == 1200)
    #expect(flow.recovery.outstanding == 1)
  }
}

@Suite("Loss recovery: persistent congestion")
struct PersistentCongestionTests {
  @Test(
    "Two losses and all between them, three probe timeouts apart",
    arguments: [(332, 6000), (333, 2400)])
  func duration(gap: UInt64, window: Int) {
    let flow = RecoveryFlow(roundTrip: 100)
    flow.send()
    flow.go(to: 100)
    flow.send(2)
    flow.go(to: gap)
    flow.send()
    flow.go(to: 400)
    flow.send(3)
    flow.go(to: 500)
    flow.ack(4...6)
    #expect(flow.lost() == [0, 1, 2, 3])
    #expect(flow.recovery.window == window)
    // After persistent congestion it may be another path.
    flow.send()
    flow.go(to: 650)
    flow.ack(7...7)
    #expect(flow.recovery.roundTrip.least == .milliseconds(window == 2400 ? 150 : 100))
  }

  @Test("Also if the newest loss is behind something that came through")
  func earlierRun() {
    let flow = RecoveryFlow(roundTrip: 100)
    flow.send()
    flow.go(to: 340)
    flow.send(2)
    flow.go(to: 400)
    flow.send(4)
    flow.go(to: 500)
    flow.ack(4...6, 2...2)
    #expect(flow.lost() == [0, 1, 3])
    #expect(flow.recovery.window == 2400)
  }

  @Test("Not if something between them came through")
  func interrupted() {
    let flow = RecoveryFlow(roundTrip: 100)
    flow.send(5)
    flow.go(to: 100)
    flow.ack(4...4)
    flow.go(to: 113)
    flow.timeout()
    #expect(flow.lost() == [0, 1, 2, 3])
    flow.go(to: 500)
    flow.send(4)
    flow.go(to: 600)
    flow.ack(8...8)
    #expect(flow.lost() == [5])
    #expect(flow.recovery.window == 3000)
  }

  @Test(
    "Not if something between them came through late", arguments: [(false, 2400), (true, 6000)])
  func interruptedLate(isLate: Bool, window: Int) {
    let flow = RecoveryFlow(roundTrip: 100)
    flow.send(4)
    flow.go(to: 390)
    flow.send(3)
    flow.go(to: 490)
    flow.ack(6...6)
    #expect(flow.lost() == [0, 1, 2, 3])
    if isLate { flow.ack(6...6, 2...2) }
    flow.go(to: 503)
    flow.timeout()
    #expect(flow.lost() == [4, 5])
    #expect(flow.recovery.window == window)
  }

  @Test("Losses found one after the other count together")
  func severalDetections() {
    let flow = RecoveryFlow(roundTrip: 100)
    flow.send()
    flow.go(to: 390)
    flow.send(5)
    flow.go(to: 490)
    flow.ack(3...3)
    #expect(flow.lost() == [0])
    #expect(flow.recovery.window == 6000)
    flow.ack(4...4)
    #expect(flow.lost() == [1])
    #expect(flow.recovery.window == 2400)
  }

  @Test("Not of what was sent before there was a sample")
  func unsampled() {
    let flow = RecoveryFlow()
    flow.send()
    flow.go(to: 5000)
    flow.send()
    flow.go(to: 9000)
    flow.send(3)
    flow.go(to: 9100)
    flow.ack(4...4)
    #expect(flow.lost() == [0, 1])
    #expect(flow.recovery.window == 6000)
  }
}
