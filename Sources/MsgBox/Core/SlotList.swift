/// The neighbours of a record in the one list that it may be in.
struct SlotLinks {
  var previous = ConnectionRecord.noSlot
  var next = ConnectionRecord.noSlot
}

/// A record that can be in a list of its slab.
protocol Linked: ~Copyable {
  var links: SlotLinks { get set }
}

/// Slots of a slab in the order of their adding; any is added or taken out in constant time, and
/// none costs memory.
struct SlotList {
  fileprivate var head = ConnectionRecord.noSlot
  fileprivate var tail = ConnectionRecord.noSlot
  fileprivate(set) var count = 0

  var first: Int? { head == ConnectionRecord.noSlot ? nil : Int(head) }
  var last: Int? { tail == ConnectionRecord.noSlot ? nil : Int(tail) }
}

extension Slab where Record: Linked & ~Copyable {
  @inline(__always)
  mutating func append(_ slot: Int, to list: inout SlotList) {
    self[slot].links = SlotLinks(previous: list.tail)
    hook(slot, to: &list)
  }

  /// The slot of a new record, which is the last of a list; nil when all are taken.
  @inline(__always)
  mutating func insert(_ record: consuming Record, to list: inout SlotList) -> Int? {
    record.links = SlotLinks(previous: list.tail)
    guard let slot = insert(record) else { return nil }
    hook(slot, to: &list)
    return slot
  }

  /// Puts a record of that generation into a reserved slot, as the last of a list.
  mutating func occupy(
    _ slot: Int, generation: UInt32, _ record: consuming Record, in list: inout SlotList
  ) {
    record.links = SlotLinks(previous: list.tail)
    occupy(slot, generation: generation, record)
    hook(slot, to: &list)
  }

  /// Makes a record that names the last of a list the one behind it.
  @inline(__always)
  private mutating func hook(_ slot: Int, to list: inout SlotList) {
    let number = UInt32(truncatingIfNeeded: slot)
    if list.tail == ConnectionRecord.noSlot {
      list.head = number
    } else {
      self[Int(list.tail)].links.next = number
    }
    list.tail = number
    list.count &+= 1
  }

  /// The slots of a list, as they are now.
  func members(of list: SlotList) -> [Int] {
    var members: [Int] = []
    members.reserveCapacity(list.count)
    var next = list.head
    while next != ConnectionRecord.noSlot, members.count < list.count {
      members.append(Int(next))
      next = self[Int(next)].links.next
    }
    return members
  }

  /// The first slot of a list, of as many as are looked at, whose record is as wanted.
  func first(
    of list: SlotList, within most: Int, where isWanted: (borrowing Record) -> Bool
  ) -> Int? {
    var next = list.head
    for _ in 0..<most where next != ConnectionRecord.noSlot {
      if isWanted(self[Int(next)]) { return Int(next) }
      next = self[Int(next)].links.next
    }
    return nil
  }

  @inline(__always)
  mutating func unlink(_ slot: Int, from list: inout SlotList) {
    unhook(self[slot].links, from: &list)
    self[slot].links = SlotLinks()
  }

  /// Takes a record out of a list and frees its slot.
  @inline(__always)
  mutating func remove(_ slot: Int, from list: inout SlotList) {
    unhook(self[slot].links, from: &list)
    remove(slot)
  }

  /// Makes the neighbours that these links name each other's.
  @inline(__always)
  private mutating func unhook(_ links: SlotLinks, from list: inout SlotList) {
    if links.previous == ConnectionRecord.noSlot {
      list.head = links.next
    } else {
      self[Int(links.previous)].links.next = links.next
    }
    if links.next == ConnectionRecord.noSlot {
      list.tail = links.previous
    } else {
      self[Int(links.next)].links.previous = links.previous
    }
    list.count &-= 1
  }
}
