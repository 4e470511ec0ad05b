/// What is known of the place of a reliable message that arrives.
package enum PlaceCheck: Equatable, Sendable {
  case fresh
  /// It was received before.
  case duplicate
  /// It is beyond the window of its channel: its datagram must not be acknowledged.
  case refused
}

/// The places of the reliable messages of a session that have been received, by channel, and those
/// messages of ordered channels that wait for one before them.
package struct ChannelInbox {
  /// What a message that waits is counted with besides its bytes, so that empty ones cannot hold
  /// much for nothing.
  package static let overhead = 64

  private let firstPlace: UInt32
  private var unordered: PlaceWindow
  /// The next place of each ordered channel, up to the last channel used.
  private var nextPlaces: [UInt32] = []
  /// Messages that wait, by channel and place.
  private var waiting: [UInt64: [UInt8]] = [:]
  /// Bytes that wait, with the overhead of each message.
  package private(set) var heldBytes = 0

  /// Every channel of a session begins with place 0; only a test of the wrap begins elsewhere.
  package init(firstPlace: UInt32 = 0) {
    self.firstPlace = firstPlace
    unordered = PlaceWindow(base: firstPlace)
  }

  /// Messages that wait.
  package var heldMessages: Int { waiting.count }

  /// What `arrived` and `keep` would find; nothing changes.
  package func check(_ place: ChannelPlace) -> PlaceCheck {
    if place.channel == 0 { return unordered.check(place.place) }
    let distance = place.place &- nextPlace(place.channel)
    if Int32(bitPattern: distance) < 0 { return .duplicate }
    if distance >= WireFormat.channelWindow { return .refused }
    if distance > 0, !waiting.isEmpty, waiting[ChannelInbox.key(place)] != nil { return .duplicate }
    return .fresh
  }

  /// Whether a message could be delivered at once if it were complete.
  package func isNext(_ place: ChannelPlace) -> Bool {
    place.channel == 0 || place.place == nextPlace(place.channel)
  }

  /// A message is complete that is the next of its channel, while none waits: true, and it is
  /// delivered now. False, and nothing changes, of any other.
  package mutating func pass(_ place: ChannelPlace) -> Bool {
    if place.channel == 0 { return unordered.pass(place.place) }
    let index = Int(place.channel)
    guard waiting.isEmpty, index < nextPlaces.count, nextPlaces[index] == place.place else {
      return false
    }
    nextPlaces[index] = place.place &+ 1
    return true
  }

  /// A message whose place is fresh is complete. True: it is delivered now, and then those that
  /// `next` gives until that is nil. False: nothing changes, because one before it in its ordered
  /// channel is missing; `keep` takes it.
  package mutating func arrived(_ place: ChannelPlace) -> Bool {
    if place.channel == 0 {
      unordered.insert(place.place)
      return true
    }
    guard place.place == nextPlace(place.channel) else { return false }
    advance(place.channel)
    return true
  }

  /// Takes a message for which `arrived` was false. One whose place is not fresh is dropped.
  package mutating func keep(_ place: ChannelPlace, _ bytes: [UInt8]) {
    guard place.channel != 0, check(place) == .fresh else { return }
    heldBytes += bytes.count + ChannelInbox.overhead
    waiting[ChannelInbox.key(place)] = bytes
  }

  /// The message of an ordered channel whose turn it is, if it has arrived.
  package mutating func next(_ channel: UInt8) -> [UInt8]? {
    guard channel != 0, !waiting.isEmpty else { return nil }
    let place = ChannelPlace(channel: channel, place: nextPlace(channel))
    guard let bytes = waiting.removeValue(forKey: ChannelInbox.key(place)) else { return nil }
    heldBytes -= bytes.count + ChannelInbox.overhead
    if waiting.isEmpty { waiting = [:] }
    advance(channel)
    return bytes
  }

  private static func key(_ place: ChannelPlace) -> UInt64 {
    UInt64(place.channel) << 32 | UInt64(place.place)
  }

  private func nextPlace(_ channel: UInt8) -> UInt32 {
    Int(channel) < nextPlaces.count ? nextPlaces[Int(channel)] : firstPlace
  }

  private mutating func advance(_ channel: UInt8) {
    while nextPlaces.count <= Int(channel) { nextPlaces.append(firstPlace) }
    nextPlaces[Int(channel)] &+= 1
  }
}

/// The places of one unordered channel that have been received: all below a base, and bits for the
/// window above it.
struct PlaceWindow {
  /// The lowest place not received.
  private var base: UInt32
  /// Bit place & (bits - 1), of places above the base; a power of 2 of words, as many as needed.
  private var words: [UInt64] = []
  /// Bits that are set.
  private var ahead = 0

  init(base: UInt32) {
    self.base = base
  }

  func check(_ place: UInt32) -> PlaceCheck {
    let distance = place &- base
    if Int32(bitPattern: distance) < 0 { return .duplicate }
    if distance >= WireFormat.channelWindow { return .refused }
    guard distance > 0, Int(distance) < words.count * 64 else { return .fresh }
    return words[word(place)] & PlaceWindow.bit(place) != 0 ? .duplicate : .fresh
  }

  /// Notes the lowest place that was not received, if no higher one was; false, and nothing
  /// changes, for any other.
  mutating func pass(_ place: UInt32) -> Bool {
    guard place == base, ahead == 0 else { return false }
    base = place &+ 1
    return true
  }

  /// Notes a place; one that is not fresh changes nothing.
  mutating func insert(_ place: UInt32) {
    guard check(place) == .fresh else { return }
    guard place != base else {
      advance()
      return
    }
    grow(to: Int(place &- base))
    words[word(place)] |= PlaceWindow.bit(place)
    ahead += 1
  }

  /// Moves the base over the place that was just received and those behind it.
  private mutating func advance() {
    base &+= 1
    while ahead > 0, words[word(base)] & PlaceWindow.bit(base) != 0 {
      words[word(base)] &= ~PlaceWindow.bit(base)
      ahead -= 1
      base &+= 1
    }
  }

  /// Makes the bits reach `distance` above the base.
  private mutating func grow(to distance: Int) {
    guard distance >= words.count * 64 else { return }
    var count = max(words.count, 1)
    while distance >= count * 64 { count *= 2 }
    var larger = [UInt64](repeating: 0, count: count)
    var place = base
    for _ in 0..<words.count * 64 {
      if words[word(place)] & PlaceWindow.bit(place) != 0 {
        larger[Int(truncatingIfNeeded: place >> 6) & (count - 1)] |= PlaceWindow.bit(place)
      }
      place &+= 1
    }
    words = larger
  }

  private static func bit(_ place: UInt32) -> UInt64 { 1 << UInt64(place & 63) }

  private func word(_ place: UInt32) -> Int {
    Int(truncatingIfNeeded: place >> 6) & (words.count - 1)
  }
}
