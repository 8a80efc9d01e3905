"""The vocabulary of the miniature's products: departments with categories, materials, features, sizes and brands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Category:
    """A fine-grained category.

    Attributes:
        middle: The middle of the category path.
        name: The name in labels and paths.
        noun: The noun in titles.
    """

    middle: str
    name: str
    noun: str


@dataclass(frozen=True, slots=True)
class Department:
    """A top-level category.

    Attributes:
        file: The name in file names.
        name: The name in category paths.
        categories: The fine-grained categories.
        materials: The materials in titles.
        features: Additions to the noun in titles.
        sizes: The sizes in titles.
        parts: The product parts in reviews.
        prices: The lowest and highest price in US dollars.
    """

    file: str
    name: str
    categories: tuple[Category, ...]
    materials: tuple[str, ...]
    features: tuple[str, ...]
    sizes: tuple[str, ...]
    parts: tuple[str, ...]
    prices: tuple[int, int]


def plural(noun: str) -> str:
    """Return a noun's plural."""
    if noun.endswith(("s", "ch", "sh", "x")):
        return noun + "es"
    return noun[:-1] + "ies" if noun.endswith("y") and noun[-2] not in "aeiou" else noun + "s"


def _categories(*groups: str) -> tuple[Category, ...]:
    """Return the categories of groups such as `Lighting: Table Lamp, Floor Lamp, =Bedding`; `=` means no plural."""
    found = []
    for group in groups:
        middle, _, nouns = group.partition(": ")
        for noun in nouns.split(", "):
            bare = noun.removeprefix("=")
            found.append(Category(middle, bare if noun.startswith("=") else plural(bare), bare))
    return tuple(found)


def _list(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


ELECTRONICS = Department(
    "Electronics",
    "Electronics",
    _categories(
        "Headphones: Over-Ear Headphone, Earbud Headphone, Headphone Adapter, Headphone Case",
        "Computers & Accessories: Wireless Mouse, Mechanical Keyboard, USB Hub, Laptop Sleeve, Docking Station, "
        "External Hard Drive, Memory Card, Webcam, Cooling Pad, Graphics Tablet, Network Switch, Wireless Router",
        "Camera & Photo: Tripod, Camera Bag, Lens Filter, Camera Battery, Camera Strap, Ring Light, Memory Card Reader",
        "Television & Video: TV Wall Mount, HDMI Cable, Streaming Media Player, Projector Screen, TV Antenna, "
        "Remote Control, Video Projector",
        "Portable Audio & Video: Bluetooth Speaker, MP3 Player, Clock Radio, Portable CD Player, Voice Recorder",
        "Accessories & Supplies: Power Strip, Battery Charger, Audio Cable, Ethernet Cable, Power Adapter, "
        "Cable Organizer, Surge Protector",
        "Car & Vehicle Electronics: Car Stereo, Dash Camera, Car Charger, Backup Camera, Subwoofer Box",
    ),
    _list(
        "Aluminum, Plastic, Silicone, Nylon Braided, Leather, Carbon Fiber, Tempered Glass, Rubber, Zinc Alloy"
    ),
    _list(
        "with Microphone, with Remote, for Windows and Mac, with LED Backlight, with Fast Charging, for Travel, "
        "with Carrying Case, with Volume Control, Noise Isolating, Plug and Play, with Gold Plated Connectors, "
        "for Home Office, Water Resistant, Dual Band, with Night Vision, High Speed, Low Profile, Rechargeable, "
        "with Auto Shutoff, Ultra Slim, for Gaming, Shockproof, with Touch Control, Adjustable Angle, Heavy Duty, "
        "with Built in Cable, with Overcharge Protection, Multi Device, for Tablets and Phones, with Status Light"
    ),
    _list(
        "3 Feet, 6 Feet, 10 Feet, 15 Feet, 25 Feet, 50 Feet, 16GB, 32GB, 64GB, 128GB, 256GB, 1TB, 2TB, 5 Port, "
        "8 Port, 10 inch, 13 inch, 15 inch, 17 inch, 32 inch, 55 inch, 12V, 24W, 65W, 100W, 1080p, 2 Channel"
    ),
    _list(
        "battery, sound, cable, screen, button, connector, charger, picture, bluetooth pairing, volume, microphone, "
        "software, signal, manual, remote, fan, port, power switch, bass, lens, mount, antenna, app, light, plug"
    ),
    (7, 240),
)
HOME = Department(
    "Home_and_Kitchen",
    "Home & Kitchen",
    _categories(
        "Kitchen & Dining: Frying Pan, Saucepan, Dutch Oven, Baking Sheet, Muffin Pan, Mixing Bowl, Cutting Board, "
        "Chef Knife, Knife Block, Coffee Maker, French Press, Tea Kettle, Travel Mug, Water Bottle, Lunch Box, "
        "Food Storage Container, Salad Spinner, Measuring Cup, Can Opener, Dish Rack, Wine Glass, Dinner Plate",
        "Bedding: Sheet Set, Comforter, Duvet Cover, Pillowcase, Mattress Pad, Throw Blanket, Bed Pillow, Quilt",
        "Bath: Bath Towel, Shower Curtain, Bath Mat, Soap Dispenser, Toilet Brush, Laundry Hamper",
        "Furniture: Bookcase, Bar Stool, Nightstand, Folding Table, Office Chair, TV Stand, Shoe Rack, Ottoman",
        "Home Decor: Table Lamp, Wall Clock, Picture Frame, Throw Pillow, Area Rug, Curtain Panel, Scented Candle, "
        "Vase, Wall Mirror, Canvas Print",
        "Vacuums & Floor Care: Upright Vacuum, Steam Mop, Vacuum Filter",
        "Storage & Organization: Storage Bin, Drawer Organizer, Garment Rack, Clothes Hanger, Over Door Hook",
    ),
    _list(
        "Stainless Steel, Cotton, Bamboo, Ceramic, Cast Iron, Microfiber, Glass, Walnut, Linen, Polyester, Acacia, "
        "Silicone, Porcelain, Velvet, Marble, Oak, Enamel, Memory Foam, Copper, Melamine"
    ),
    _list(
        "with Lid, Dishwasher Safe, Nonstick, Machine Washable, for Small Kitchens, Hypoallergenic, with Handles, "
        "BPA Free, for Bedroom, for Living Room, Fade Resistant, Stackable, with Drain Spout, Extra Soft, Oven Safe, "
        "for Dorm Room, Space Saving, with Hooks, Odor Resistant, Easy Clean, Hand Painted, Double Wall, "
        "with Storage Bag, Wrinkle Free, Farmhouse Style, Modern Design, Vintage Look, with Timer, Foldable, "
        "Thermal Insulated, Non Slip, with Glass Top, Deep Pocket, for Guest Room"
    ),
    _list(
        "Twin, Full, Queen, King, 8 inch, 10 inch, 12 inch, 14 inch, 2 Quart, 5 Quart, 12 oz, 16 oz, 20 oz, 12 Cup, "
        "5 x 7 Feet, 8 x 10 Feet, 20 x 30 inch, 3 Tier, 5 Tier, Small, Medium, Large, Extra Large"
    ),
    _list(
        "lid, handle, color, fabric, stitching, finish, bottom, size, smell, coating, edge, zipper, drawer, leg, rim, "
        "glass, texture, filter, weight, cord, shelf, frame, filling, base, seal, pattern"
    ),
    (6, 190),
)
SPORTS = Department(
    "Sports_and_Outdoors",
    "Sports & Outdoors",
    _categories(
        "Exercise & Fitness: Yoga Mat, Dumbbell, Resistance Band, Foam Roller, Jump Rope, Kettlebell, Exercise Ball, "
        "Weight Bench, Pull Up Bar, Ankle Weight, Push Up Stand",
        "Outdoor Recreation: Camping Tent, Sleeping Bag, Hiking Backpack, Trekking Pole, Camping Stove, Hammock, "
        "Headlamp, Camping Chair, Water Filter, Dry Bag, Climbing Rope, Bike Light, Bike Helmet, Bike Lock, "
        "Cycling Glove, Bike Pump, Fishing Rod, Fishing Reel, Fishing Lure, Tackle Box",
        "Team Sports: Basketball, Soccer Ball, Football Glove, Baseball Bat, Baseball Glove, Volleyball, Shin Guard",
        "Hunting & Fishing: Rifle Scope, Gun Case, Hunting Knife, Game Camera, Duck Decoy, Archery Target",
        "Golf: Golf Club, Golf Bag, Golf Glove, Golf Ball, Putting Mat, Golf Umbrella",
        "Boating & Water Sports: Life Jacket, Swim Goggle, Snorkel Mask, Kayak Paddle, Boat Cover, Wetsuit",
        "Fan Shop: Team Flag, Team Cap, Team Mug, License Plate Frame, Team Blanket",
        "Sports Apparel: Compression Sleeve, Running Belt, Cycling Jersey, Sun Hat",
    ),
    _list(
        "Nylon, Neoprene, Aluminum, Steel, Polyester, Carbon Fiber, Rubber, Leather, Mesh, Ripstop, Foam, Fiberglass, "
        "Fleece, Cast Iron, Composite, Titanium, Canvas, Silicone"
    ),
    _list(
        "for Men and Women, Waterproof, Lightweight, with Carry Bag, Adjustable, Quick Dry, for Beginners, Foldable, "
        "Extra Thick, Anti Slip, for Camping, High Visibility, with Hydration Bladder, Shock Absorbing, UV Protection, "
        "for Kids, Competition Grade, Breathable, with Repair Kit, Ultralight, All Weather, for Home Gym, Padded, "
        "with Mounting Hardware, Official Size, Left Handed, Right Handed, Floating, Camouflage, Windproof, "
        "with Reflective Strip, Four Season"
    ),
    _list(
        "Small, Medium, Large, X-Large, 5 lb, 10 lb, 20 lb, 35 lb, 50 lb, 20 Liter, 40 Liter, 65 Liter, 2 Person, "
        "4 Person, 6 Person, 6 Feet, 7 Feet, 9 Feet, Size 4, Size 5, 24 oz, 32 oz, 700 x 25, 26 inch, 29 inch"
    ),
    _list(
        "strap, buckle, grip, zipper, seam, padding, pocket, fit, sole, pole, fabric, stitching, weight, material, "
        "handle, clip, lining, valve, reel, string, bag, elastic, ventilation, mount, lens, foam"
    ),
    (6, 210),
)
TOOLS = Department(
    "Tools_and_Home_Improvement",
    "Tools & Home Improvement",
    _categories(
        "Power & Hand Tools: Cordless Drill, Circular Saw, Impact Driver, Angle Grinder, Drill Bit, Socket Set, "
        "Screwdriver Set, Torque Wrench, Claw Hammer, Tape Measure, Utility Knife, Tool Box, Clamp, Saw Blade, "
        "Sanding Disc, Workbench, Wood Chisel, Pliers Set",
        "Lighting & Ceiling Fans: Ceiling Fan, Pendant Light, Wall Sconce, LED Bulb, Flood Light, String Light, "
        "Night Light, Flashlight, Work Light, Desk Lamp",
        "Kitchen & Bath Fixtures: Kitchen Faucet, Bathroom Sink, Shower Head, Towel Bar, Toilet Seat, Sink Strainer, "
        "Bathroom Faucet, Grab Bar, Soap Dish",
        "Electrical: Light Switch, Extension Cord, Wall Plate, Dimmer Switch, Circuit Breaker, Outlet Tester",
        "Hardware: Cabinet Knob, Door Handle, Door Hinge, Padlock, Deadbolt, Drawer Slide, House Number, Coat Hook",
        "Paint & Wall Treatments: Paint Brush, Wall Decal, Paint Roller, =Wallpaper",
        "Safety & Security: Smoke Detector, Security Camera, Work Glove, Safety Glasses Set, Door Alarm",
    ),
    _list(
        "Brushed Nickel, Stainless Steel, Chrome, Oil Rubbed Bronze, Brass, Steel, Aluminum, Plastic, Cast Iron, "
        "Carbide, Rubber, Titanium, Zinc, Ceramic, Copper, Wood, Vinyl, Leather"
    ),
    _list(
        "with Carrying Case, Heavy Duty, Variable Speed, for Wood and Metal, Dimmable, Energy Saving, Easy Install, "
        "with Battery and Charger, Rust Resistant, for Bathroom, Magnetic, Weatherproof, Single Handle, Wall Mounted, "
        "Corrosion Resistant, with Remote Control, for Outdoor Use, Motion Sensor, Ergonomic Grip, Quick Release, "
        "with Extra Blade, Self Adhesive, Lead Free, Adjustable, Water Saving, Warm White, Daylight, Professional, "
        "with Mounting Screws, Tamper Resistant, Contractor Grade"
    ),
    _list(
        "18V, 20V, 12 Volt, 60W, 100W, 1/4 inch, 3/8 inch, 1/2 inch, 7-1/4 inch, 10 inch, 25 Feet, 50 Feet, 42 Piece, "
        "108 Piece, 3 Piece, 24 inch, 52 inch, 1000 Lumen, 2.5 GPM, 15 Amp, 20 Amp, Medium, Large"
    ),
    _list(
        "battery, blade, handle, finish, screw, motor, switch, bracket, trigger, chuck, case, weight, light, valve, "
        "hinge, coating, wire, adhesive, instruction sheet, grip, seal, mounting plate, charger, latch, cord"
    ),
    (5, 230),
)
ELSEWHERE = Department(
    "All",
    "All Departments",
    _categories(
        "Clothing: Running Shoe, Leather Belt, Rain Jacket, Denim Shirt, Wool Sock, Maxi Dress, Baseball Cap",
        "Beauty: Face Cream, Hair Brush, Lip Balm, Nail Polish, Makeup Bag, Shampoo Bar",
        "Toys & Games: Board Game, Building Block Set, Stuffed Bear, Jigsaw Puzzle, Toy Train, Card Game",
        "Grocery: Green Tea, Protein Bar, Olive Oil, Dark Chocolate Bar, Spice Rack",
        "Pet Supplies: Dog Leash, Cat Tree, Dog Bed, Aquarium Filter, Bird Feeder, Pet Carrier",
        "Office Products: Gel Pen, Desk Organizer, Spiral Notebook, Label Maker, Stapler",
        "Automotive: Floor Mat, Wiper Blade, Seat Cover, Oil Filter, Phone Mount",
        "Baby: Baby Monitor, Diaper Bag, High Chair, Baby Blanket, Sippy Cup",
    ),
    _list("Cotton, Leather, Wool, Plastic, Wood, Canvas, Silicone, Steel, Organic, Paper, Mesh, Rubber"),
    _list(
        "for Women, for Men, for Kids, Unscented, Refillable, Washable, with Gift Box, for Sensitive Skin, "
        "Gluten Free, for Large Breeds, Universal Fit, Non Toxic, Quick Dry, Handmade, for Ages 6 and Up, with Clip, "
        "Waterproof, Slim Fit, Extra Wide, Vegan, Easy Grip, Travel Friendly, for Newborns, with Refills"
    ),
    _list(
        "Small, Medium, Large, Size 8, Size 10, 2 oz, 8 oz, 16 oz, 500 Pieces, 12 Count, 24 Count, 3 Pack, 6 Feet, "
        "5.5 inch, 18 inch, One Size"
    ),
    _list(
        "smell, taste, color, size, strap, print, box, zipper, fabric, lid, texture, seam, cap, clip, cover"
    ),
    (4, 120),
)

# The departments whose files are written; their index is the key space of their products.
DEPARTMENTS: tuple[Department, ...] = (ELECTRONICS, HOME, SPORTS, TOOLS)
ALL_DEPARTMENTS: tuple[Department, ...] = (*DEPARTMENTS, ELSEWHERE)

ADJECTIVES = _list(
    "Premium, Portable, Compact, Professional, Deluxe, Classic, Universal, Original, Replacement, Mini, Large, Slim, "
    "Wireless, Upgraded, Heavy Duty, Lightweight, Multifunction, Durable, Elegant, Essential, Advanced, Rugged, Smart, "
    "Standard, Traditional, Modern, Everyday, Commercial, Indoor & Outdoor, Home & Office"
)
COLOURS = _list(
    "Black, White, Silver, Gray, Blue, Navy Blue, Red, Dark Red, Green, Olive Green, Pink, Purple, Brown, Beige, Gold, "
    "Rose Gold, Orange, Yellow, Teal, Ivory, Charcoal, Turquoise, Burgundy, Clear, Multicolor, Bronze, Lavender, Cream"
)
PACKS = _list(
    "2 Pack, 3 Pack, 4 Pack, 6 Pack, 10 Pack, 12 Pack, Set of 2, Set of 4, Pair, 1 Count, Bulk Pack"
)

_BRAND_HEADS = _list(
    "Ad, Al, Am, An, Aqua, Arc, Ash, Ast, Av, Bal, Bel, Ben, Bex, Bor, Bri, Cal, Cam, Cas, Cel, Cor, Dal, Dax, Del, "
    "Dur, Ed, El, Em, En, Er, Ev, Fal, Fen, Fir, Flex, For, Gal, Gar, Gen, Gor, Hal, Har, Hel, Hom, In, "
    "Jad, Jor, Kal, Kel, Kor, Lan, Lar, Lex, Lum, Mar, Max, Mel, Mor, Nav, Nex, Nor, Ol, Or, Pal, Per, Pro, Quan, "
    "Ral, Ren, Riv, Ros, Sal, San, Sel, Sol, Tal, Tec, Tor, Tri, Ul, Val, Ven, Ver, Vol, Wal, Wes, Xen, Yar, Zan, Zel"
)
_BRAND_TAILS = _list(
    "adon, alta, amore, anta, ara, arix, axo, den, dora, ea, eco, elle, enta, eon, era, esta, eva, ford, gard, go, ia, "
    "ica, ify, ilo, ina, ix, lan, line, lox, mark, max, mont, nova, o, ola, ona, ora, oro, ova, pak, pro, quest, rex, "
    "ridge, sen, son, star, tech, ton, tron, ura, us, va, ven, vex, via, wel, works, yx, za"
)


def brand_names() -> list[str]:
    """Return some five thousand made-up brands, each different."""
    return list(dict.fromkeys(head + tail for tail in _BRAND_TAILS for head in _BRAND_HEADS))
