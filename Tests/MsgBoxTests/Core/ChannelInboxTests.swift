import MsgBox
import Testing

@Suite("Places of reliable messages")
struct ChannelInboxTests {
  private func place(_ channel: UInt8, _ place: UInt32) -> ChannelPlace {
    ChannelPlace(channel: channel, place: place)
  }

  @Test("An unordered message is delivered whatever its place, and once")
  func unordered() {
    var inbox = ChannelInbox()
    for number: UInt32 in [3, 0, 16383, 1, 200, 2, 4] {
      #expect(inbox.check(place(0, number)) == .fresh)
      #expect(inbox.arrived(place(0, number)) && inbox.next(0) == nil)
      #expect(inbox.check(place(0, number)) == .duplicate)
    }
    #expect(inbox.check(place(0, 5)) == .fresh && inbox.heldBytes == 0)
  }

  @Test("An ordered message waits for those before it in its channel, and for no other")
  func ordered() {
    var inbox = ChannelInbox()
    #expect(!inbox.isNext(place(9, 1)) && inbox.isNext(place(9, 0)) && inbox.isNext(place(0, 5)))
    for number: UInt32 in [2, 1, 4] {
      #expect(inbox.arrived(place(9, number)) == false)
      inbox.keep(place(9, number), [UInt8(number)])
      #expect(inbox.check(place(9, number)) == .duplicate)
    }
    #expect(inbox.next(9) == nil && inbox.heldMessages == 3)
    #expect(inbox.heldBytes == 3 + 3 * ChannelInbox.overhead)
    #expect(inbox.arrived(place(255, 0)) && inbox.next(255) == nil)
    #expect(inbox.arrived(place(9, 0)) == true)
    #expect(inbox.next(9) == [1] && inbox.next(9) == [2] && inbox.next(9) == nil)
    #expect(inbox.check(place(9, 2)) == .duplicate && inbox.heldMessages == 1)
    #expect(inbox.arrived(place(9, 3)) && inbox.next(9) == [4] && inbox.heldBytes == 0)
  }

  @Test("A message passes at once only if it is the next of its channel and none waits")
  func pass() {
    var inbox = ChannelInbox()
    #expect(inbox.pass(place(0, 1)) == false && inbox.pass(place(0, 0)) == true)
    #expect(inbox.pass(place(0, 0)) == false && inbox.check(place(0, 0)) == .duplicate)
    #expect(inbox.arrived(place(0, 2)) == true)
    #expect(inbox.pass(place(0, 1)) == false, "the base would have to move over the other")
    #expect(inbox.arrived(place(0, 1)) == true && inbox.pass(place(0, 3)) == true)
    #expect(inbox.arrived(place(7, 0)) == true)
    #expect(inbox.pass(place(7, 2)) == false && inbox.pass(place(7, 1)) == true)
    #expect(inbox.pass(place(7, 1)) == false && inbox.check(place(7, 1)) == .duplicate)
    inbox.keep(place(7, 3), [3])
    #expect(inbox.pass(place(7, 2)) == false && inbox.pass(place(0, 4)) == true)
    #expect(inbox.arrived(place(7, 2)) == true && inbox.next(7) == [3])
    #expect(inbox.pass(place(7, 4)) == true)
  }

  @Test("An empty message that waits is a message")
  func emptyMessage() {
    var inbox = ChannelInbox()
    inbox.keep(place(1, 1), [])
    #expect(inbox.heldBytes == ChannelInbox.overhead)
    #expect(inbox.arrived(place(1, 0)) && inbox.next(1) == [] && inbox.next(1) == nil)
  }

  @Test("What is not fresh, or not ordered, is not kept")
  func notKept() {
    var inbox = ChannelInbox()
    inbox.keep(place(0, 1), [1])
    inbox.keep(place(1, 16384), [1])
    inbox.keep(place(1, 3), [1])
    inbox.keep(place(1, 3), [1, 2])
    #expect(inbox.heldMessages == 1 && inbox.heldBytes == 1 + ChannelInbox.overhead)
  }

  @Test("The window ends 16384 above the lowest place missing", arguments: [0, 1, 255] as [UInt8])
  func window(channel: UInt8) {
    var inbox = ChannelInbox(firstPlace: .max - 10)
    let base = UInt32.max - 10
    #expect(inbox.check(place(channel, base &+ 16383)) == .fresh)
    #expect(inbox.check(place(channel, base &+ 16384)) == .refused)
    #expect(inbox.check(place(channel, base &- 1)) == .duplicate)
    #expect(inbox.arrived(place(channel, base)) == true)
    #expect(inbox.check(place(channel, base &+ 16384)) == .fresh)
    #expect(inbox.check(place(channel, base &+ 16385)) == .refused)
  }

  @Test("Every place of the window can be received in any order, on either side of the wrap")
  func wholeWindow() {
    var random = SeededRandom(seed: 2)
    for first: UInt32 in [0, .max - 8000] {
      var inbox = ChannelInbox(firstPlace: first)
      var places = (UInt32(1)..<16384).map { first &+ $0 }
      for index in places.indices { places.swapAt(index, random.below(places.count)) }
      for number in places {
        #expect(inbox.check(place(0, number)) == .fresh && inbox.arrived(place(0, number)))
      }
      #expect(places.allSatisfy { inbox.check(place(0, $0)) == .duplicate })
      #expect(inbox.check(place(0, first &+ 16384)) == .refused)
      #expect(inbox.arrived(place(0, first)) == true)
      #expect(inbox.check(place(0, first &+ 16384 &+ 16383)) == .fresh)
      #expect(inbox.check(place(0, first &+ 16384 &+ 16384)) == .refused)
    }
  }

  /// The same by sets.
  private struct Model {
    var seen: Set<Int> = []
    var waiting: [Int: [UInt8]] = [:]
    var base = 0

    func check(_ place: Int) -> PlaceCheck {
      if place < base || seen.contains(place) { return .duplicate }
      return place - base >= 16384 ? .refused : .fresh
    }

    mutating func receive(_ place: Int, _ bytes: [UInt8], isOrdered: Bool) -> [[UInt8]] {
      seen.insert(place)
      if isOrdered { waiting[place] = bytes }
      var given = isOrdered ? [] : [bytes]
      while seen.contains(base) {
        if let bytes = waiting.removeValue(forKey: base) { given.append(bytes) }
        base += 1
      }
      return given
    }
  }

  @Test("Random places on four channels give what a model gives, across the wrap")
  func model() {
    for seed in UInt64(0)..<6 {
      var random = SeededRandom(seed: seed)
      let first: UInt32 = .max - 1500
      var inbox = ChannelInbox(firstPlace: first)
      var models = [Model](repeating: Model(), count: 4)
      for _ in 0..<12_000 {
        let channel = random.below(4)
        let reach = random.chance(10) ? 20_000 : random.chance(200) ? 300 : 4
        let number = max(0, models[channel].base + random.below(reach) - reach / 4)
        let id = place(UInt8(channel), first &+ UInt32(number))
        let check = models[channel].check(number)
        #expect(inbox.check(id) == check)
        guard check == .fresh else { continue }
        let bytes = random.bytes(random.below(20))
        var given: [[UInt8]] = []
        if random.chance(50), inbox.pass(id) {
          given.append(bytes)
        } else if inbox.arrived(id) {
          given.append(bytes)
          while let bytes = inbox.next(id.channel) { given.append(bytes) }
        } else {
          inbox.keep(id, bytes)
        }
        #expect(given == models[channel].receive(number, bytes, isOrdered: channel != 0))
        let waiting = models.flatMap(\.waiting.values)
        #expect(inbox.heldMessages == waiting.count)
        #expect(
          inbox.heldBytes == waiting.reduce(0) { $0 + $1.count + ChannelInbox.overhead })
      }
    }
  }

  @Test("A million arrivals on one ordered channel hold nothing at the end")
  func million() {
    var inbox = ChannelInbox()
    for pair in UInt32(0)..<500_000 {
      inbox.keep(place(1, pair * 2 + 1), [])
      _ = inbox.arrived(place(1, pair * 2))
      _ = inbox.next(1)
    }
    #expect(inbox.heldBytes == 0 && inbox.check(place(1, 1_000_000)) == .fresh)
    #expect(inbox.check(place(1, 999_999)) == .duplicate)
  }
}
