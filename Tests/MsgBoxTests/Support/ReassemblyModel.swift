import MsgBox

/// `Reassembly` without its data structures: everything is searched for anew.
struct ReassemblyModel {
  struct Fragment {
    var key: FragmentKey
    var replyID: UInt16
    var packets: Int
    var index: Int
    var bytes: [UInt8]
  }

  private struct Message {
    var first: Fragment
    var parts: [Int: [UInt8]] = [:]
    var progressAt: Instant

    var heldBytes: Int {
      var prefix = 0
      while parts[prefix] != nil { prefix += 1 }
      let bytes = parts.values.reduce(0) { $0 + $1.count }
      return bytes + (parts.count - prefix) * Reassembly.pieceOverhead
        + Reassembly.messageOverhead
    }

    /// The reason to end the message if it had `fragment`, by looking at all of its parts.
    func objection(_ fragment: Fragment, largest: Int) -> DropReason? {
      let count = first.packets
      guard fragment.packets == count, fragment.replyID == first.replyID, count >= 2,
        fragment.index < count, !fragment.bytes.isEmpty, parts[fragment.index] == nil
      else { return .fragment }
      let all = parts.merging([fragment.index: fragment.bytes]) { old, _ in old }
      let sizes = Set(all.filter { $0.key < count - 1 }.map(\.value.count))
      let last = all[count - 1]?.count
      guard sizes.count <= 1 else { return .fragment }
      if let size = sizes.first, let last, last > size { return .fragment }
      let least = (count - 1) * (sizes.first ?? last ?? 1) + (last ?? 1)
      return least > largest ? .tooBig : nil
    }
  }

  /// Those that got nothing new for longest come first.
  private var messages: [Message] = []
  private var ends: [(key: FragmentKey, end: Assembly)] = []
  private(set) var freed = 0

  var heldBytes: Int { messages.reduce(0) { $0 + $1.heldBytes } }
  var count: Int { messages.count }

  mutating func add(_ fragment: Fragment, largest: Int, bound: Int, at now: Instant) -> Assembly {
    let known = messages.firstIndex { $0.first.key == fragment.key }
    if known == nil, let end = ends.last(where: { $0.key == fragment.key }) { return end.end }
    var message = known.map { messages[$0] } ?? Message(first: fragment, progressAt: now)
    if isCopy(fragment, in: message) { return .duplicate }
    if let reason = message.objection(fragment, largest: largest) {
      end(fragment.key, .drop(reason))
      return .drop(reason)
    }
    message.parts[fragment.index] = fragment.bytes
    message.progressAt = now
    if message.parts.count == fragment.packets {
      end(fragment.key, .duplicate)
      return .complete((0..<fragment.packets).flatMap { message.parts[$0] ?? [] })
    }
    guard makeRoom(for: message, fragment, bound: bound) else {
      if fragment.key.kind != .oneWay { return .refused }
      if messages.contains(where: { $0.first.key == fragment.key }) { freed += 1 }
      end(fragment.key, .drop(.memory))
      return .drop(.memory)
    }
    messages.removeAll { $0.first.key == fragment.key }
    messages.append(message)
    return .incomplete
  }

  mutating func remove(_ key: FragmentKey) {
    messages.removeAll { $0.first.key == key }
  }

  mutating func expire(at now: Instant) -> Int {
    let before = messages.count
    messages.removeAll {
      $0.first.key.kind != .reliable && now.since($0.progressAt) >= .seconds(10)
    }
    return before - messages.count
  }

  private func isCopy(_ fragment: Fragment, in message: Message) -> Bool {
    guard let part = message.parts[fragment.index] else { return false }
    return part.count == fragment.bytes.count && fragment.packets == message.first.packets
      && fragment.replyID == message.first.replyID
  }

  /// The room that a fragment needs is counted as if nothing waited for it.
  private mutating func makeRoom(
    for message: Message, _ fragment: Fragment, bound: Int
  ) -> Bool {
    let known = messages.first { $0.first.key == fragment.key }
    let isNext = (0..<fragment.index).allSatisfy { message.parts[$0] != nil }
    let cost =
      fragment.bytes.count + (isNext ? 0 : Reassembly.pieceOverhead)
      + (known == nil ? Reassembly.messageOverhead : 0)
    while heldBytes + cost > bound {
      let oldest = messages.first {
        $0.first.key.kind != .reliable && $0.first.key != fragment.key
      }
      guard let oldest else { return false }
      freed += 1
      end(oldest.first.key, .drop(.memory))
    }
    return true
  }

  private mutating func end(_ key: FragmentKey, _ end: Assembly) {
    remove(key)
    ends.append((key, end))
    if ends.count > 64 { ends.removeFirst() }
  }
}
