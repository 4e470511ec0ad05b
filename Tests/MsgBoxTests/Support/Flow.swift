import MsgBox

/// The reliable messages of one sender, as both ends ought to see them: each once, in the order of
/// its channel; channel 0 has no order.
final class Flow {
  private struct Channel {
    /// The lengths of the messages that were accepted, in order.
    var sizes: [Int] = []
    /// Places whose message the sender may drop: it has a deadline or a key.
    var mayVanish: Set<Int> = []
    /// Ordered: the next place. Unordered: how many arrived that say their place.
    var next = 0
    var seen: Set<Int> = []
  }

  let sender: UInt64
  private var channels: [UInt8: Channel] = [:]
  /// Empty messages say nothing; those that came are kept until an ordered channel needs them.
  private var emptiesSent = 0
  private var emptiesReceived = 0
  private var emptiesUsed = 0
  /// Unordered messages that are too short for their place, by length.
  private var tinySent = [Int](repeating: 0, count: 5)
  private var tinyReceived = [Int](repeating: 0, count: 5)

  private(set) var sent = 0
  private(set) var received = 0
  private(set) var bytesReceived = 0

  init(sender: UInt64) {
    self.sender = sender
  }

  // MARK: The sender

  /// The next message of a channel; the same until one is `accepted`.
  func next(channel: UInt8, count: Int) -> [UInt8] {
    content(channel, channels[channel]?.sizes.count ?? 0, count)
  }

  /// The message that `next` gave was taken.
  func accepted(channel: UInt8, count: Int, mayVanish: Bool = false) {
    sent += 1
    let place = channels[channel]?.sizes.count ?? 0
    channels[channel, default: Channel()].sizes.append(count)
    if mayVanish { channels[channel]?.mayVanish.insert(place) }
    if count == 0 {
      emptiesSent += 1
    } else if channel == 0, count < 5 {
      tinySent[count] += 1
    }
  }

  private func content(_ channel: UInt8, _ place: Int, _ count: Int) -> [UInt8] {
    Content(
      .reliable, channel: channel, sender: sender, sequence: UInt32(place), count: count
    ).bytes
  }

  // MARK: The receiver

  /// What is wrong with a message that came, or nil.
  func receive(_ bytes: [UInt8]) -> String? {
    received += 1
    bytesReceived += bytes.count
    guard let channel = bytes.first else {
      emptiesReceived += 1
      return emptiesReceived > emptiesSent ? "an empty message came twice" : nil
    }
    guard channels[channel] != nil else { return "a message of no channel" }
    return channel == 0 ? receiveUnordered(bytes) : receiveOrdered(bytes, channel)
  }

  private func receiveUnordered(_ bytes: [UInt8]) -> String? {
    guard bytes.count >= 5 else {
      tinyReceived[bytes.count] += 1
      return tinyReceived[bytes.count] > tinySent[bytes.count] ? "a tiny message came twice" : nil
    }
    let place = Content.sequence(of: bytes)
    if let error = compare(bytes, 0, place) { return error }
    let isNew = channels[0]?.seen.insert(place).inserted ?? false
    return isNew ? nil : "message \(place) came twice"
  }

  private func receiveOrdered(_ bytes: [UInt8], _ channel: UInt8) -> String? {
    let place = bytes.count >= 5 ? Content.sequence(of: bytes) : nil
    while let next = channels[channel]?.next, canSkip(channel, next, to: place) {
      channels[channel]?.next += 1
    }
    let next = channels[channel]?.next ?? 0
    if let place, place != next {
      return "message \(place) of channel \(channel) came when it was the turn of \(next)"
    }
    channels[channel]?.next += 1
    return compare(bytes, channel, next)
  }

  /// Whether the turn may go past a place without a message that names it: an empty one came
  /// unnoticed, or the sender dropped it.
  private func canSkip(_ channel: UInt8, _ next: Int, to place: Int?) -> Bool {
    guard let state = channels[channel], next < state.sizes.count else { return false }
    if state.sizes[next] == 0, emptiesUsed < emptiesReceived {
      emptiesUsed += 1
      return true
    }
    guard let place, next < place else { return false }
    return state.mayVanish.contains(next)
  }

  private func compare(_ bytes: [UInt8], _ channel: UInt8, _ place: Int) -> String? {
    guard let sizes = channels[channel]?.sizes, sizes.indices.contains(place) else {
      return "message \(place) of channel \(channel) was never sent"
    }
    let isSame = Content.areEqual(bytes, content(channel, place, sizes[place]))
    return isSame ? nil : "message \(place) of channel \(channel) is not what was sent"
  }
}

/// The flows of all senders of a simulation.
final class Flows {
  private var flows: [UInt64: Flow] = [:]

  subscript(sender: UInt64) -> Flow {
    if let flow = flows[sender] { return flow }
    let flow = Flow(sender: sender)
    flows[sender] = flow
    return flow
  }

  /// What is wrong with a message that came, or nil. Those too short to tell their sender are not
  /// looked at.
  func receive(_ bytes: [UInt8]) -> String? {
    guard bytes.count >= Content.headerBytes else { return nil }
    guard let content = Content(bytes) else { return "\(bytes.count) bytes that nobody sent" }
    guard content.kind == .reliable else { return nil }
    guard let flow = flows[content.sender] else { return "a message of nobody" }
    return flow.receive(bytes)
  }
}
