"""Words of colours, sizes and materials in titles: English, German, French and Spanish, case-folded.

Words that more often name a kind of product than a property (`short`, `mini`, `jean`) are left out.
"""

from __future__ import annotations

_COLOURS = """
    amber apricot aqua azure beige black blue bronze brown burgundy caramel champagne charcoal chocolate cobalt coral
    clear cream crimson cyan ebony ecru emerald fuchsia gold golden graphite gray green grey
    gunmetal indigo ivory jade khaki
    lavender lilac lime magenta maroon mauve mint moss multicolor multicolour mustard navy ochre olive orange peach
    pewter pink plum purple red rose ruby russet rust sage salmon sand sapphire scarlet silver slate taupe teal
    terracotta turquoise violet white yellow
    anthrazit blau braun bunt gelb grau grün rosa rot schwarz silber türkis weiss lila oliv
    schwarze schwarzer schwarzes weisse weisser weisses rote roter rotes blaue blauer blaues grüne grüner grünes
    gelbe gelber gelbes graue grauer graues braune brauner braunes
    argent argenté blanc blanche bleu bleue doré dorée gris grise jaune marron noir noire rouge vert verte violette
    amarilla amarillo azul blanca blanco celeste dorado gris morado naranja negra negro plateado roja rojo verde
"""

_SIZES = """
    xxs xs xl xxl xxxl 2xl 3xl 4xl 5xl small medium large xsmall xlarge xxlarge
    klein mittel gross petit moyen grand pequeño mediano grande
"""

_MATERIALS = """
    acrylic aluminium aluminum bamboo beech brass canvas cashmere ceramic copper cotton denim enamel felt fleece glass
    granite iron jute leather linen maple marble merino nylon oak pine plastic polyester porcelain rattan rubber satin
    silicone silk stainless steel stoneware suede teak titanium velvet walnut wicker willow wood wooden wool
    baumwolle buche edelstahl eiche emaille filz glas holz keramik
    kiefer kunststoff kupfer leder leinen messing porzellan
    samt seide wolle
    acier bambou bois chêne coton cuir cuivre inox laine laiton lin soie velours verre
    acero algodón bambú cerámica cobre cuero lana lino madera porcelana roble seda vidrio
"""

# They belong to the colour that follows.
_SHADES = "bright dark deep light matte metallic pale dunkel hell clair foncé claro oscuro"

# Of lengths, weights, volumes, memory and counts. Voltage, power and resolution make another model.
_UNITS = """
    mm cm m km inch inches in zoll pouces pulgadas ft feet foot yd yard yards
    mg g gr kg oz ounce ounces lb lbs pound pounds fl ml cl dl l liter liters litre litres litros gal gallon gallons
    mb gb tb
    pack packs pk count ct pc pcs piece pieces set stück stk pièces piezas
"""
# Before a number or a letter: `size 8`, `Gr. 42`, `taille M`.
_SIZE_NAMES = "size sz groesse grösse gr taille talla"

COLOURS = frozenset(_COLOURS.split())
SIZES = frozenset(_SIZES.split())
MATERIALS = frozenset(_MATERIALS.split())
SHADES = frozenset(_SHADES.split())
UNITS = frozenset(_UNITS.split())
SIZE_NAMES = frozenset(_SIZE_NAMES.split())
