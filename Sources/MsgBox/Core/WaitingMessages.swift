/// A message that is packed only when its turn comes: it may be replaced until then, or be too
/// late, or it needs more than one packet.
struct WaitingMessage {
  var head: MessageHead
  var bytes: MessageBytes
  var options: SendOptions
  /// It is dropped if it was not sent by then.
  var deadline = Instant.never
  /// The first packet that is not sent yet.
  var nextPacket = 0

  /// Whether a part of it is on its way.
  var hasBegun: Bool { nextPacket > 0 }
}

/// Messages in the order of their coming, each found by its key.
struct WaitingMessages: ~Copyable {
  private var queue = FIFO<WaitingMessage>()
  /// How many have left: the number of the first.
  private var taken: UInt64 = 0
  private var byKey: [UInt64: UInt64] = [:]

  var isEmpty: Bool { queue.isEmpty }
  var first: WaitingMessage? { queue.first }

  /// Appends a message, or puts it in the place of the one with the same key, which is returned.
  mutating func add(_ message: WaitingMessage) -> WaitingMessage? {
    if message.options.key != 0 {
      if let number = byKey[message.options.key], let old = queue[Int(number - taken)],
        !old.hasBegun
      {
        queue[Int(number - taken)] = message
        return old
      }
      byKey[message.options.key] = taken + UInt64(queue.count)
    }
    queue.append(message)
    return nil
  }

  mutating func removeFirst() -> WaitingMessage? {
    guard let message = queue.popFirst() else { return nil }
    if message.options.key != 0, byKey[message.options.key] == taken {
      byKey[message.options.key] = nil
    }
    taken += 1
    return message
  }

  /// The earliest of the deadlines.
  var nextDeadline: Instant {
    var earliest = Instant.never
    for offset in 0..<queue.count {
      if let message = queue[offset], !message.hasBegun {
        earliest = min(earliest, message.deadline)
      }
    }
    return earliest
  }

  /// Takes out those that are too late.
  mutating func takeLate(at now: Instant) -> [WaitingMessage] {
    var late: [WaitingMessage] = []
    for _ in 0..<queue.count {
      guard let message = removeFirst() else { break }
      if now > message.deadline, !message.hasBegun {
        late.append(message)
      } else {
        if message.options.key != 0 { byKey[message.options.key] = taken + UInt64(queue.count) }
        queue.append(message)
      }
    }
    return late
  }

  /// One more packet of the first message was sent.
  mutating func advanceFirst() {
    guard var message = queue.first else { return }
    message.nextPacket += 1
    queue[0] = message
  }
}
