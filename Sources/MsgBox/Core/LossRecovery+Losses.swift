/// Losses and probes: RFC 9002, section 6.
extension LossRecovery {
  // MARK: Timers

  /// When `timeout` is due.
  @inline(__always)
  package var deadline: Instant? {
    if let lossTime { return lossTime }
    guard outstanding == 0 else { return probeBase + backoff }
    return isLarge ? max(probeBase + memory, forgetTime ?? probeBase) : nil
  }

  /// Does what is due: finds datagrams lost by their age, or else, after a probe timeout, owes one
  /// or two probes and gives the frames of the oldest datagrams out to be sent again in them.
  package mutating func timeout(at now: Instant) {
    guard let deadline, deadline <= now else { return }
    if lossTime != nil {
      _ = detectLosses(at: now)
    } else if outstanding > 0 {
      probe(at: now)
    }
    forget(at: now)
    if outstanding == 0 { shrink() }
  }

  /// The probe timeout doubles with each: RFC 9002, section 6.2.1.
  @inline(__always)
  private var backoff: Interval {
    let timeout = roundTrip.probeTimeout
    return min(timeout * (1 << min(probeCount, 32)), max(timeout, Self.longestBackoff))
  }

  // MARK: Probes

  /// The datagrams of which the frames are sent again stay outstanding: they may only be late, and
  /// an acknowledgement of either counts. Each is probed at most once, for then the copy is
  /// outstanding too.
  private mutating func probe(at now: Instant) {
    probeCount += 1
    probeBase = now
    var owed = 0
    var number = oldestOutstanding
    while number < nextNumber, owed < 2 {
      if datagrams[number].state == .outstanding {
        datagrams.markProbed(number)
        giveLost(datagrams[number])
        owed += 1
      }
      number &+= 1
    }
    probesOwed = max(owed, 1)
  }

  // MARK: Losses

  /// Finds datagrams lost that are so far, or sent so long, before an acknowledged one: RFC 9002,
  /// section 6.1. They are the oldest, because both grow with the number.
  /// - Returns: whether the window was reduced.
  mutating func detectLosses(at now: Instant) -> Bool {
    lossTime = nil
    let delay = roundTrip.lossDelay
    var newest: UInt64?
    var isPersistent = false
    while oldestOutstanding < acknowledgedEnd {
      let datagram = datagrams[oldestOutstanding]
      if datagram.isOutstanding {
        let isFar = acknowledgedEnd - 1 - oldestOutstanding >= Self.packetThreshold
        guard isFar || datagram.time + delay <= now else {
          lossTime = datagram.time + delay
          break
        }
        lose(oldestOutstanding, datagram, at: now)
        newest = oldestOutstanding
        isPersistent = isPersistent || congestionIsPersistent
      }
      oldestOutstanding &+= 1
    }
    guard let newest else { return false }
    return reduceWindow(newest, congestionIsPersistent: isPersistent)
  }

  private mutating func lose(_ number: UInt64, _ datagram: SentDatagram, at now: Instant) {
    lostCount &+= 1
    extendLostRun(number, sentAt: datagram.time)
    datagrams.settle(number, as: .lost, at: now)
    if datagram.state != .probed { giveLost(datagram) }
  }

  /// The peer has another address: what is on its way went to where nobody is, and is lost through
  /// no congestion. On another host's path everything else begins anew too (RFC 9000, section 9.4).
  package mutating func moved(toOtherHost isOtherHost: Bool, at now: Instant) {
    while oldestOutstanding < nextNumber {
      let datagram = datagrams[oldestOutstanding]
      if datagram.isOutstanding { lose(oldestOutstanding, datagram, at: now) }
      oldestOutstanding &+= 1
    }
    lossTime = nil
    lostRun = nil
    probeCount = 0
    probesOwed = 0
    probeBase = now
    pathStart = nextNumber
    guard isOtherHost else { return }
    roundTrip = RoundTrip()
    firstSampled = nil
    newReno = NewReno(next: nextNumber)
    pacer = Pacer(now: now)
  }

  private mutating func giveLost(_ datagram: SentDatagram) {
    for index in 0..<Int(datagram.frameCount) {
      lost.append(datagrams.frame(index, of: datagram))
    }
  }

  // MARK: Persistent congestion

  /// A run of lost datagrams, none of which was acknowledged and all of which were sent when there
  /// was a round trip sample: RFC 9002, section 7.6.2.
  private mutating func extendLostRun(_ number: UInt64, sentAt: Instant) {
    guard let firstSampled, number >= firstSampled else { return }
    guard let run = lostRun, run.end == number else {
      lostRun = LostRun(start: sentAt, newest: sentAt, end: number &+ 1)
      return
    }
    lostRun = LostRun(start: run.start, newest: sentAt, end: number &+ 1)
  }

  private var congestionIsPersistent: Bool {
    guard let lostRun else { return false }
    return lostRun.newest.since(lostRun.start) >= roundTrip.probeTimeout * 3
  }

  /// - Parameter newest: the newest datagram that was found lost.
  private mutating func reduceWindow(_ newest: UInt64, congestionIsPersistent: Bool) -> Bool {
    let isReduced = newReno.lose(newest, next: nextNumber)
    guard congestionIsPersistent else { return isReduced }
    newReno.collapse()
    roundTrip.forgetLeast()
    lostRun = nil
    return true
  }

  // MARK: Forgetting

  /// How long a lost datagram is remembered, in case it was only late.
  @inline(__always)
  private var memory: Interval { roundTrip.probeTimeout * 3 }

  @inline(__always)
  private var forgetTime: Instant? { datagrams.oldestSettled.map { $0 + memory } }

  mutating func forget(at now: Instant) {
    datagrams.forget(lostFor: memory, limit: outstanding + Self.rememberedMost, at: now)
  }

  // MARK: Memory

  /// Whether giving the memory of a burst back is worth a wake-up.
  @inline(__always)
  private var isLarge: Bool { datagrams.isLarge || acked.isLarge || lost.isLarge }

  /// Gives the memory of a burst back. Not before nothing was sent for a while, or bursts that
  /// follow each other would allocate it again and again.
  private mutating func shrink() {
    datagrams.shrink()
    acked.shrink()
    lost.shrink()
  }
}

/// Numbers that were lost one after the other.
struct LostRun: Sendable {
  /// When the first one was sent.
  var start: Instant
  /// When the last one was sent.
  var newest: Instant
  /// The number behind the last one.
  var end: UInt64
}
