/// A part of a message that a datagram carries: which message of the outbox, which of its packets.
package struct FrameRef: Equatable, Sendable {
  package var message: UInt32
  package var packet: UInt16

  package init(message: UInt32, packet: UInt16) {
    self.message = message
    self.packet = packet
  }
}

/// A numbered datagram, in 16 bytes.
struct SentDatagram {
  enum State: UInt8 {
    case outstanding
    /// Outstanding, and its frames were sent again in a probe.
    case probed
    case lost
    case acknowledged
  }

  /// When it was sent; of a lost one, when it was found lost.
  var time: Instant
  /// Where its frames begin, modulo 2^32.
  var firstFrame: UInt32
  var bytes: UInt16
  var frameCount: UInt8
  #if DEBUG
    var state = State.outstanding {
      didSet { StateChange.tell("datagram", oldValue, state) }
    }
  #else
    var state = State.outstanding
  #endif

  var isOutstanding: Bool { state == .outstanding || state == .probed }
}

/// The numbered datagrams that are remembered, in a ring by their numbers, and their frames in
/// another one, in the order of their sending. Nothing is allocated for a datagram once the rings
/// are as large as the traffic needs.
struct SentDatagrams {
  private var ring = Ring<SentDatagram>()
  private var frames = Ring<FrameRef>()
  /// The position of the first frame in `frames`, modulo 2^32.
  private var frameBase: UInt32 = 0
  /// Frames at the end of `frames` that belong to no datagram yet.
  private var openFrames = 0
  /// The number of the oldest datagram that is remembered.
  private(set) var base: UInt64
  private(set) var outstanding = 0
  private(set) var bytesInFlight = 0

  init(firstNumber: UInt64) {
    base = firstNumber
  }

  /// The number of the next datagram.
  var end: UInt64 { base &+ UInt64(ring.count) }

  var count: Int { ring.count }

  /// Whether giving memory back is worth a wake-up.
  var isLarge: Bool { ring.isLarge || frames.isLarge }

  /// A datagram from `base ..< end`.
  subscript(number: UInt64) -> SentDatagram {
    ring[Int(number &- base)]
  }

  func frame(_ index: Int, of datagram: SentDatagram) -> FrameRef {
    frames[Int(datagram.firstFrame &- frameBase) + index]
  }

  mutating func add(_ frame: FrameRef) {
    frames.append(frame)
    openFrames += 1
  }

  /// Closes the datagram that the last frames were added to.
  mutating func close(bytes: Int, at now: Instant) {
    let datagram = SentDatagram(
      time: now, firstFrame: openBase, bytes: UInt16(clamping: bytes),
      frameCount: UInt8(clamping: openFrames))
    ring.append(datagram)
    openFrames = 0
    outstanding += 1
    bytesInFlight += Int(datagram.bytes)
  }

  /// Takes a datagram out of what is in flight, if it is.
  mutating func settle(_ number: UInt64, as state: SentDatagram.State, at now: Instant) {
    let index = Int(number &- base)
    if ring[index].isOutstanding {
      outstanding -= 1
      bytesInFlight -= Int(ring[index].bytes)
    }
    ring[index].state = state
    if state == .lost { ring[index].time = now }
  }

  mutating func markProbed(_ number: UInt64) {
    ring[Int(number &- base)].state = .probed
  }

  /// When the oldest datagram was found lost; nil if it is outstanding or there is none.
  var oldestSettled: Instant? {
    ring.count > 0 && !ring[0].isOutstanding ? ring[0].time : nil
  }

  /// Forgets the oldest datagrams: acknowledged ones, and lost ones that were found so `age` ago or
  /// are more than `limit` with all that came later.
  mutating func forget(lostFor age: Interval, limit: Int, at now: Instant) {
    while ring.count > 0, !ring[0].isOutstanding {
      let oldest = ring[0]
      guard oldest.state == .acknowledged || oldest.time + age <= now || ring.count > limit else {
        return
      }
      ring.removeFirst()
      base &+= 1
      forgetFrames(before: ring.count > 0 ? ring[0].firstFrame : openBase)
    }
  }

  /// The position of the first frame that belongs to no datagram yet.
  private var openBase: UInt32 {
    frameBase &+ UInt32(truncatingIfNeeded: frames.count - openFrames)
  }

  private mutating func forgetFrames(before position: UInt32) {
    frames.removeFirst(Int(position &- frameBase))
    frameBase = position
  }

  /// Gives the memory of a burst back once nothing of it is remembered.
  mutating func shrink() {
    ring.shrink()
    frames.shrink()
  }
}
